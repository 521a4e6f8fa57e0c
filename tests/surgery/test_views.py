"""Masked views share the weights of the model they look at."""

import invariants
import keras
import networks
import numpy as np
import pytest

import keras_cascade as kc
from keras_cascade.surgery.views import ChannelMask


def test_view_shares_every_weight(architecture, rng):
    graph = kc.ChannelGraph(architecture)
    view = kc.masked_view(architecture, invariants.random_masks(graph, rng))
    own = {id(variable) for variable in architecture.weights}
    assert {id(variable) for variable in view.weights} == own


def test_view_follows_its_original():
    model = networks.small_convnet()
    masks = {"stem": np.arange(6) < 3, "hidden": np.arange(10) % 2 == 0}
    view = kc.masked_view(model, masks)
    model.get_layer("outer").kernel.assign(model.get_layer("outer").kernel * 2.0)
    small = kc.Surgeon(model).extract(masks)
    invariants.assert_same_outputs(invariants.outputs_of(view), invariants.outputs_of(small))


def test_empty_masks_are_the_model_itself(architecture):
    view = kc.masked_view(architecture, {})
    for one, other in zip(
        invariants.outputs_of(architecture), invariants.outputs_of(view), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_what_lies_between_maker_and_reader_does_not_matter():
    # A removed channel that passes a BatchNormalization with beta != 0 is a constant, not zero.
    model = networks.small_convnet()
    assert np.abs(model.get_layer("stem_bn").beta.numpy()).min() > 0.01
    invariants.assert_extraction(model, {"stem": np.arange(6) < 2})


def test_channel_mask_round_trip():
    layer = ChannelMask([1, 0, 1], axis=2)
    copy = ChannelMask.from_config(layer.get_config())
    ones = keras.ops.ones((1, 2, 3))
    np.testing.assert_array_equal(copy(ones)[0, 0], [1.0, 0.0, 1.0])


@pytest.mark.only_on("tensorflow", reason="elsewhere Keras normalises in float32")
def test_normalisation_of_float64_keeps_its_precision(rng):
    inputs = keras.Input((4, 3), dtype="float64")
    x = keras.layers.Dense(8, name="made", dtype="float64")(inputs)
    x = keras.layers.LayerNormalization(dtype="float64")(x)
    x = keras.layers.GroupNormalization(2, dtype="float64")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, dtype="float64")(x))
    masks = {"made": np.arange(4) != 1}
    batch = rng.standard_normal((3, 4, 3))
    pair = kc.masked_view(model, masks)(batch), kc.Surgeon(model).extract(masks)(batch)
    masked, small = map(keras.ops.convert_to_numpy, pair)
    np.testing.assert_allclose(masked, small, rtol=0, atol=1e-12)


def test_activity_regularizers_count_in_views_as_in_extracted_models():
    inputs = keras.Input((4,))
    x = keras.layers.Dense(6, name="made")(inputs)
    x = keras.layers.LayerNormalization(activity_regularizer="l2")(x)
    model = networks.unsettled(keras.Model(inputs, keras.layers.Dense(2)(x)))
    masks = {"made": np.arange(6) < 4}
    view, small = kc.masked_view(model, masks), kc.Surgeon(model).extract(masks)
    batch = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    for one in (view, small):
        one(batch)
    (masked,), (cut,) = view.losses, small.losses
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(masked), keras.ops.convert_to_numpy(cut), rtol=1e-5
    )
