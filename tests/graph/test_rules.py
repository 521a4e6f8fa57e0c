"""Every layer rule, by one shared body: random masks, cut, compare; and what is kept whole."""

import invariants
import keras
import networks
import pytest
from keras import layers

import keras_cascade as kc

IMAGE = (8, 8, 3)


def _chain(*middle, shape=IMAGE, first=None):
    """A convolution, the layers in question, and a head that reads the result."""
    inputs = keras.Input(shape)
    x = (first or layers.Conv2D(6, 3, name="made", padding="same"))(inputs)
    for layer in middle:
        x = layer(x)
    if len(x.shape) > 2:
        x = layers.GlobalAveragePooling2D()(x)
    return networks.unsettled(keras.Model(inputs, layers.Dense(3, name="head")(x)))


def _merge(layer, second_filters=6):
    inputs = keras.Input(IMAGE)
    one = layers.Conv2D(6, 3, name="made")(inputs)
    two = layers.Conv2D(second_filters, 3, name="other")(inputs)
    x = layers.Conv2D(4, 3, name="reader")(layer([one, two]))
    return networks.unsettled(
        keras.Model(inputs, layers.Dense(3, name="head")(layers.Flatten()(x)))
    )


CUT = {
    "conv_strided": lambda: _chain(layers.Conv2D(5, 3, strides=2, dilation_rate=1)),
    "conv_one_filter": lambda: _chain(layers.Conv2D(1, 3), layers.Conv2D(4, 1)),
    "conv_valid_no_bias": lambda: _chain(layers.Conv2D(5, (3, 1), use_bias=False)),
    "depthwise": lambda: _chain(layers.DepthwiseConv2D(3), layers.Conv2D(4, 1)),
    "depthwise_multiplier": lambda: _chain(
        layers.DepthwiseConv2D(3, depth_multiplier=2), layers.Conv2D(4, 1)
    ),
    "separable": lambda: _chain(layers.SeparableConv2D(5, 3, depth_multiplier=2)),
    "separable_activation": lambda: _chain(layers.SeparableConv2D(5, 3, activation="relu")),
    "batch_normalization": lambda: _chain(layers.BatchNormalization(), layers.ReLU()),
    "batch_normalization_plain": lambda: _chain(
        layers.BatchNormalization(scale=False, center=False)
    ),
    "activation_relu": lambda: _chain(layers.Activation("relu")),
    "activation_silu": lambda: _chain(layers.Activation("silu")),
    "relu6": lambda: _chain(layers.ReLU(6.0), layers.LeakyReLU(), layers.ELU()),
    "max_pooling": lambda: _chain(layers.MaxPooling2D(), layers.Conv2D(4, 3)),
    "average_pooling": lambda: _chain(
        layers.AveragePooling2D(3, padding="same"), layers.Conv2D(4, 3)
    ),
    "global_max": lambda: _chain(layers.GlobalMaxPooling2D()),
    "global_average_keepdims": lambda: _chain(
        layers.GlobalAveragePooling2D(keepdims=True), layers.Conv2D(4, 1)
    ),
    "flatten_dense": lambda: _chain(layers.Flatten(), layers.Dense(7)),
    "flatten_normalised": lambda: _chain(layers.Flatten(), layers.BatchNormalization()),
    "dense_on_maps": lambda: _chain(layers.Dense(7, activation="relu")),
    "dropouts": lambda: _chain(
        layers.Dropout(0.5), layers.SpatialDropout2D(0.5), layers.GaussianNoise(0.1)
    ),
    "zero_padding": lambda: _chain(layers.ZeroPadding2D(2), layers.Conv2D(4, 3)),
    "rescaling": lambda: _chain(layers.Rescaling(0.5, offset=1.0), layers.Conv2D(4, 3)),
    "conv1d": lambda: _chain(
        layers.MaxPooling1D(2),
        layers.ZeroPadding1D(1),
        layers.GlobalAveragePooling1D(),
        shape=(12, 3),
        first=layers.Conv1D(6, 3, name="made"),
    ),
    "conv3d": lambda: _chain(
        layers.AveragePooling3D(2),
        layers.Flatten(),
        shape=(6, 6, 6, 2),
        first=layers.Conv3D(6, 3, name="made"),
    ),
    "add": lambda: _merge(layers.Add()),
    "subtract": lambda: _merge(layers.Subtract()),
    "multiply": lambda: _merge(layers.Multiply()),
    "average": lambda: _merge(layers.Average()),
    "maximum": lambda: _merge(layers.Maximum()),
    "minimum": lambda: _merge(layers.Minimum()),
    "concatenate": lambda: _merge(layers.Concatenate(), second_filters=5),
    "concatenate_rows": lambda: _merge(layers.Concatenate(axis=1)),
}


@pytest.mark.parametrize("case", CUT)
def test_rule_cuts_exactly(case, rng):
    model = CUT[case]()
    graph = kc.ChannelGraph(model)
    assert graph["made"].prunable, graph["made"].reason
    for _ in range(3):
        invariants.assert_extraction(model, invariants.random_masks(graph, rng))


class _Doubling(layers.Layer):
    """A layer nobody told the package about; it mixes channels."""

    def call(self, inputs):
        return keras.ops.flip(inputs, axis=-1)


KEPT = {
    "unknown_layer": (lambda: _chain(_Doubling()), "no rule for _Doubling"),
    "lambda": (lambda: _chain(layers.Lambda(lambda x: x[..., ::-1])), "no rule for Lambda"),
    "softmax_layer": (lambda: _chain(layers.Softmax()), "no rule for Softmax"),
    "softmax": (lambda: _chain(layers.Activation("softmax")), "softmax may mix channels"),
    "own_activation": (
        lambda: _chain(layers.Activation(lambda x: x - keras.ops.max(x, -1, keepdims=True))),
        "may mix channels",
    ),
    "inner_activation": (
        lambda: _chain(first=layers.Conv2D(6, 3, name="made", activation="softmax")),
        "activation softmax may mix channels",
    ),
    "grouped": (lambda: _chain(layers.Conv2D(4, 3, groups=2)), "grouped convolution"),
    "normalised_rows": (
        lambda: _chain(layers.BatchNormalization(axis=1)),
        "axis that is not the channels'",
    ),
    "rescaled_each": (lambda: _chain(layers.Rescaling([1.0] * 6)), "a value for each channel"),
    "layer_normalization": (lambda: _chain(layers.LayerNormalization()), "no rule for Layer"),
    "reshape": (lambda: _chain(layers.Reshape((64, 6)), layers.Flatten()), "no rule for Reshape"),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_no_rule_covers_is_kept_whole_and_says_why(case, rng):
    build, reason = KEPT[case]
    model = build()
    graph = kc.ChannelGraph(model)
    assert not graph["made"].prunable
    assert reason in graph["made"].reason
    assert graph["made"].reason in graph.summary()
    masks = invariants.random_masks(graph, rng)
    if masks:
        invariants.assert_extraction(model, masks)


def test_subclass_of_a_known_layer_is_unknown():
    class Reversed(layers.Conv2D):
        def call(self, inputs):
            return super().call(inputs)[..., ::-1]

    graph = kc.ChannelGraph(_chain(Reversed(4, 3)))
    assert "no rule for Reversed" in graph["made"].reason


def test_add_couples_through_pass_through_layers():
    inputs = keras.Input(IMAGE)
    one = layers.BatchNormalization()(layers.Conv2D(6, 3, name="made", padding="same")(inputs))
    two = layers.DepthwiseConv2D(3, padding="same")(one)
    x = layers.Add()([one, two, layers.Conv2D(6, 1, name="other")(inputs)])
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="head")(x))
    group = kc.ChannelGraph(model)["made"]
    assert group.producers == ("made", "other") and group.size == 6


def test_concatenating_a_tensor_with_itself_and_adding(rng):
    inputs = keras.Input(IMAGE)
    one = layers.Conv2D(3, 3, name="made")(inputs)
    twice = layers.Concatenate()([one, one])
    x = layers.Add()([twice, layers.Conv2D(6, 3, name="other")(inputs)])
    model = networks.unsettled(keras.Model(inputs, layers.Conv2D(2, 1, name="head")(x)))
    graph = kc.ChannelGraph(model)
    assert (graph["made"].size, graph["made"].producers) == (3, ("made", "other"))
    invariants.assert_extraction(model, invariants.random_masks(graph, rng))


def test_nested_concatenations_reach_every_reader(rng):
    inputs = keras.Input(IMAGE)
    maps = [layers.Conv2D(4, 3, padding="same", name="c0")(inputs)]
    for index in range(1, 4):
        joined = maps[0] if len(maps) == 1 else layers.Concatenate()(maps)
        maps.append(layers.Conv2D(4, 3, padding="same", name=f"c{index}")(joined))
    x = layers.BatchNormalization()(layers.Concatenate()([layers.Concatenate()(maps), maps[0]]))
    model = networks.unsettled(keras.Model(inputs, layers.Conv2D(2, 1, name="head")(x)))
    graph = kc.ChannelGraph(model)
    assert graph["c0"].consumers == ("c1", "c2", "c3", "head")
    invariants.assert_extraction(model, invariants.random_masks(graph, rng))


def test_model_input_is_never_cut():
    inputs = keras.Input((8, 8, 6))
    x = layers.Add()([inputs, layers.Conv2D(6, 3, padding="same", name="made")(inputs)])
    graph = kc.ChannelGraph(keras.Model(inputs, layers.Conv2D(2, 1)(x)))
    assert graph["made"].reason == "model input"


def test_shared_layer_couples_its_inputs(rng):
    inputs = keras.Input(IMAGE)
    shared = layers.Conv2D(5, 3, padding="same", name="shared")
    one = layers.Conv2D(4, 3, padding="same", name="one")(inputs)
    two = layers.Conv2D(4, 1, name="two")(inputs)
    x = layers.Concatenate()([shared(one), shared(two)])
    model = networks.unsettled(keras.Model(inputs, layers.Conv2D(2, 1, name="head")(x)))
    graph = kc.ChannelGraph(model)
    assert graph["one"].producers == ("one", "two")
    invariants.assert_extraction(model, invariants.random_masks(graph, rng))


def test_adapted_normalization_after_a_cut(rng):
    inputs = keras.Input(IMAGE)
    x = layers.Conv2D(4, 3, name="made")(inputs)
    normal = layers.Normalization(axis=-1)
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="head")(normal(x)))
    made = keras.Model(inputs, x)
    normal.adapt(keras.ops.convert_to_numpy(made(rng.standard_normal((16, *IMAGE)))))
    graph = kc.ChannelGraph(model)
    assert graph["made"].prunable
    invariants.assert_extraction(model, invariants.random_masks(graph, rng))


def test_register_rule_teaches_a_layer(rng):
    class ChannelScale(layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

        def call(self, inputs):
            return inputs * self.scale

    model = _chain(ChannelScale(), layers.Conv2D(4, 1))
    assert not kc.ChannelGraph(model)["made"].prunable

    @kc.register_rule(ChannelScale)
    def channel_scale(layer, inputs, call):
        (x,) = inputs
        return kc.Flow([call.same(x)], weights=[(layer.scale, {0: x.labels})])

    graph = kc.ChannelGraph(model)
    assert graph["made"].prunable
    masks = invariants.random_masks(graph, rng)
    small = kc.Surgeon(model).extract(masks)
    assert small.count_params() == graph.params(masks)
    with pytest.raises(TypeError, match="layer classes"):
        kc.register_rule(ChannelScale())
