"""The surgeon: extracted equals masked, costs as predicted, and a wrong rule is found out."""

import invariants
import keras
import networks
import numpy as np
import pytest
from keras import layers

import keras_cascade as kc


def test_extraction_is_exact_at_random_masks(architecture, rng):
    graph = kc.ChannelGraph(architecture)
    for share in (0.5, 0.9):
        small = invariants.assert_extraction(
            architecture, invariants.random_masks(graph, rng, share)
        )
    assert small.count_params() < architecture.count_params()


def test_extraction_with_one_channel_a_group(architecture, rng):
    graph = kc.ChannelGraph(architecture)
    invariants.assert_extraction(architecture, invariants.random_masks(graph, rng, share=0.0))


def test_extracted_model_shares_nothing_and_trains(rng):
    model = networks.small_convnet(regularizer="l2")
    small = kc.Surgeon(model).extract({"inner": np.arange(8) < 4})
    before = [array.copy() for array in model.get_weights()]
    small.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    small.fit(*networks.examples_for(model, 16), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert len(small.losses) == 1


def test_frozen_layers_stay_frozen():
    model = networks.small_convnet()
    model.get_layer("stem_bn").trainable = False
    small = kc.Surgeon(model).extract({"stem": np.arange(6) < 4})
    assert not small.get_layer("stem_bn").trainable
    assert small.get_layer("stem").trainable


class _Reversing(layers.Layer):
    def call(self, inputs):
        return keras.ops.flip(inputs, axis=-1)


def test_verification_names_the_first_wrong_layer():
    @kc.register_rule(_Reversing)
    def wrong(layer, inputs, call):
        return kc.Flow([call.same(inputs[0])])  # in truth, the channels change places

    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(6, 3, name="made")(inputs)
    x = layers.ReLU(name="before")(x)
    x = _Reversing(name="culprit")(x)
    model = keras.Model(inputs, layers.Conv2D(2, 3, name="reader")(x))
    networks.unsettled(model)
    masks = {"made": np.arange(6) < 4}
    with pytest.raises(kc.SurgeryError, match="first at layer 'culprit'.*rule of your own"):
        kc.Surgeon(model).extract(masks)
    assert kc.Surgeon(model).extract(masks, verify=False).count_params() == 3 * 9 * 4 + 4 + 74


class _NoConfig(layers.Layer):
    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs):
        return inputs * self.scale

    def get_config(self):
        return layers.Layer.get_config(self)


def test_layer_that_cannot_be_made_again_is_named():
    inputs = keras.Input((4,))
    x = _NoConfig(2.0, name="custom")(layers.Dense(4, name="first")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(x))
    with pytest.raises(kc.SurgeryError, match=r"(?s)'custom' \(_NoConfig\).*get_config"):
        kc.Surgeon(model).extract({})
