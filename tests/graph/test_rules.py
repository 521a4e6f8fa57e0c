"""Every layer rule, by one shared body: random masks, cut, compare; and what is kept whole."""

import invariants
import keras
import networks
import pytest
import rule_cases
from keras import layers

import keras_cascade as kc

# Models that Keras itself computes wrongly, or not at all, on some backends or processors.
ONLY_ON = {
    **dict.fromkeys(
        "first_pointwise first_global_pooling first_flatten first_then_last "
        "group_first_normalization open_channels_first".split(),
        pytest.mark.channels_first,
    ),
    "layer_of_positions_normalization": pytest.mark.only_on(
        "tensorflow", "jax", reason="Keras on PyTorch normalises the last axes, whatever axis says"
    ),
    "count_of_rows": pytest.mark.only_on(
        "tensorflow",
        "jax",
        reason="Keras on PyTorch hands back what count_nonzero counts transposed",
    ),
    "activation_of_tensorflow": pytest.mark.only_on(
        "tensorflow", reason="TensorFlow's own function"
    ),
    "multi_head_wide": pytest.mark.only_on(
        "tensorflow", "torch", reason="JAX's fused attention takes values as wide as keys only"
    ),
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=ONLY_ON.get(case, ())) for case in rule_cases.CUT],
)
def test_rule_cuts_exactly(case, rng):
    model = rule_cases.CUT[case]()
    graph = kc.ChannelGraph(model)
    assert graph["made"].prunable, graph["made"].reason
    # JAX compiles each operation anew for every shape.
    for _ in range(1 if keras.backend.backend() == "jax" else 2):
        invariants.assert_extraction(model, invariants.random_masks(graph, rng))


@pytest.mark.only_on("jax", reason="JAX's fused attention takes values as wide as keys only")
@pytest.mark.parametrize("case", ["multi_head", "multi_head_dropout"])
def test_values_of_fused_attention_are_kept_whole(case):
    graph = kc.ChannelGraph(rule_cases.CUT[case]())
    fused = case == "multi_head"  # dropout takes Keras' own way
    assert graph["heads/value"].prunable != fused


@pytest.mark.parametrize("case", rule_cases.KEPT)
def test_what_no_rule_covers_is_kept_whole_and_says_why(case, rng):
    build, reason = rule_cases.KEPT[case]
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

    graph = kc.ChannelGraph(rule_cases.chain(Reversed(4, 3)))
    assert "no rule for Reversed" in graph["made"].reason


def test_add_couples_through_pass_through_layers():
    inputs = keras.Input(rule_cases.IMAGE)
    one = layers.BatchNormalization()(layers.Conv2D(6, 3, name="made", padding="same")(inputs))
    two = layers.DepthwiseConv2D(3, padding="same")(one)
    x = layers.Add()([one, two, layers.Conv2D(6, 1, name="other")(inputs)])
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="head")(x))
    group = kc.ChannelGraph(model)["made"]
    assert group.producers == ("made", "other") and group.size == 6


def test_concatenating_a_tensor_with_itself_and_adding(rng):
    inputs = keras.Input(rule_cases.IMAGE)
    one = layers.Conv2D(3, 3, name="made")(inputs)
    twice = layers.Concatenate()([one, one])
    x = layers.Add()([twice, layers.Conv2D(6, 3, name="other")(inputs)])
    model = networks.unsettled(keras.Model(inputs, layers.Conv2D(2, 1, name="head")(x)))
    graph = kc.ChannelGraph(model)
    assert (graph["made"].size, graph["made"].producers) == (3, ("made", "other"))
    invariants.assert_extraction(model, invariants.random_masks(graph, rng))


def test_nested_concatenations_reach_every_reader(rng):
    inputs = keras.Input(rule_cases.IMAGE)
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
    inputs = keras.Input(rule_cases.IMAGE)
    shared = layers.Conv2D(5, 3, padding="same", name="shared")
    one = layers.Conv2D(4, 3, padding="same", name="one")(inputs)
    two = layers.Conv2D(4, 1, name="two")(inputs)
    x = layers.Concatenate()([shared(one), shared(two)])
    model = networks.unsettled(keras.Model(inputs, layers.Conv2D(2, 1, name="head")(x)))
    graph = kc.ChannelGraph(model)
    assert graph["one"].producers == ("one", "two")
    invariants.assert_extraction(model, invariants.random_masks(graph, rng))


def test_lambda_keeps_its_input_whole_and_lets_the_rest_be_cut(rng):
    offset = 0.5  # a Lambda may close over what is around it
    inputs = keras.Input(rule_cases.IMAGE)
    x = layers.Conv2D(4, 3, name="before")(inputs)

    def flipped(y, factor):
        return keras.ops.flip(y, axis=-1) * factor + offset

    x = layers.Lambda(flipped, arguments={"factor": 2})(x)
    x = layers.Conv2D(5, 1, name="after")(x)
    model = networks.unsettled(keras.Model(inputs, layers.Conv2D(2, 1, name="head")(x)))
    graph = kc.ChannelGraph(model)
    assert not graph["before"].prunable and graph["after"].prunable
    invariants.assert_extraction(model, invariants.random_masks(graph, rng))


def test_adapted_normalization_after_a_cut(rng):
    inputs = keras.Input(rule_cases.IMAGE)
    x = layers.Conv2D(4, 3, name="made")(inputs)
    normal = layers.Normalization(axis=-1)
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="head")(normal(x)))
    made = keras.Model(inputs, x)
    normal.adapt(keras.ops.convert_to_numpy(made(rng.standard_normal((16, *rule_cases.IMAGE)))))
    graph = kc.ChannelGraph(model)
    assert graph["made"].prunable
    invariants.assert_extraction(model, invariants.random_masks(graph, rng))


def test_register_rule_teaches_a_layer(rng):
    class ChannelScale(layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

        def call(self, inputs):
            return inputs * self.scale

    model = rule_cases.chain(ChannelScale(), layers.Conv2D(4, 1))
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


def test_noise_of_a_dropout_follows_its_channels(rng):
    dropout = layers.Dropout(0.5, noise_shape=(None, 1, 1, 6), seed=1)
    model = rule_cases.chain(dropout, layers.Conv2D(4, 1))
    masks = invariants.random_masks(kc.ChannelGraph(model), rng)
    small = invariants.assert_extraction(model, masks)
    small(invariants.random_batch(small)[0], training=True)
