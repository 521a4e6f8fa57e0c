"""The surgeon: extracted equals masked, costs as predicted, and a wrong rule is found out."""

import gc
import weakref

import invariants
import keras
import networks
import numpy as np
import pytest
from keras import layers

import keras_cascade as kc
from keras_cascade.surgery import copy_model
from keras_cascade.surgery.random_states import random_states, values_of


def test_extraction_is_exact_at_random_masks(architecture_or_deep, rng):
    model = architecture_or_deep
    graph = kc.ChannelGraph(model)
    for share in (0.5, 0.9):
        small = invariants.assert_extraction(model, invariants.random_masks(graph, rng, share))
    assert small.count_params() < model.count_params()


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


def test_a_difference_where_nothing_can_be_removed_is_named():
    @kc.register_rule(_Reversing)
    def wrong(layer, inputs, call):
        return kc.Flow([call.fixed()], reads=(0,))  # in truth, it hands the channels on

    inputs = keras.Input((6, 6, 6))
    x = layers.Conv2D(6, 3, padding="same", name="made")(inputs)
    x = layers.GlobalMaxPooling2D()(layers.Add()([inputs, _Reversing(name="culprit")(x)]))
    model = networks.unsettled(keras.Model(inputs, layers.Dense(2, name="head")(x)))
    with pytest.raises(kc.SurgeryError, match="first at layer 'culprit'"):
        kc.Surgeon(model).extract({"made": np.arange(6) < 1})


class _Sampling(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator(3)

    def call(self, inputs):
        return inputs + keras.random.normal(keras.ops.shape(inputs), seed=self.seeds)


class _Noise(_Sampling):
    """One whose channels go."""


@kc.register_rule(_Noise)
def _elementwise(layer, inputs, call):
    return kc.Flow([call.same(inputs[0])])


def _noise_of_no_seed():
    def noisy(x):
        return x + keras.random.normal(keras.ops.shape(x))

    return layers.Lambda(noisy)


def _with_dropout():
    """One that draws in training only."""
    return keras.Sequential([keras.Input((6,)), layers.Dropout(0.5, seed=3)])


@pytest.mark.parametrize(
    "kind",
    [
        _Sampling,
        _Noise,
        _with_dropout,
        pytest.param(
            _noise_of_no_seed,
            marks=pytest.mark.only_on("tensorflow", "torch", reason="JAX refuses it"),
        ),
    ],
)
def test_random_numbers_in_inference_do_not_fail_a_right_extraction(kind, rng):
    inputs = keras.Input((4,))
    x = kind()(layers.Dense(6)(layers.Dense(8)(inputs)))
    model = networks.unsettled(keras.Model(inputs, layers.Dense(2)(x)))
    model(np.ones((2, 4)))  # now the copy's generators are in another state
    surgeon = kc.Surgeon(model)
    masks = invariants.random_masks(surgeon.graph, rng)

    def states_after(verify):
        small = surgeon.extract(masks, verify=verify)
        return values_of(random_states(model) + random_states(small))

    np.testing.assert_array_equal(states_after(verify=True), states_after(verify=False))


class _Flipping(_Sampling):
    """Draws what is seen nowhere."""

    def call(self, inputs):
        return keras.ops.flip(super().call(inputs) * 0.0 + inputs, axis=-1)


def test_a_layer_that_draws_is_verified_where_its_outputs_are_not_random():
    @kc.register_rule(_Flipping)
    def wrong(layer, inputs, call):
        return kc.Flow([call.same(inputs[0])])

    inputs = keras.Input((4,))
    x = _Flipping(name="culprit")(layers.Dense(6, name="made")(inputs))
    model = networks.unsettled(keras.Model(inputs, layers.Dense(2)(x)))
    with pytest.raises(kc.SurgeryError, match="first at layer 'culprit'"):
        kc.Surgeon(model).extract({"made": np.arange(6) < 4})


class _Positions(layers.Layer):
    """Takes so many steps at most."""

    def __init__(self, most, **kwargs):
        super().__init__(**kwargs)
        self.most = most

    def call(self, inputs):
        if inputs.shape[1] > self.most:
            raise ValueError(f"{inputs.shape[1]} steps")
        return inputs + 1.0

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "most": self.most}


@pytest.mark.parametrize(
    ("most", "message"),
    [
        (20, "first at layer 'culprit'"),  # found with fewer steps
        (0, r"fails on .*'places' \(_Positions\): ValueError: .*64 steps.*verify=False"),
    ],
)
def test_a_batch_that_the_model_does_not_take_is_made_smaller(most, message):
    class Mirroring(_Reversing):
        pass

    @kc.register_rule(Mirroring)
    def wrong(layer, inputs, call):
        return kc.Flow([call.same(inputs[0])])

    inputs = keras.Input((None, 3))
    x = layers.Conv1D(6, 1, name="made")(_Positions(most, name="places")(inputs))
    model = keras.Model(inputs, layers.Conv1D(2, 1)(Mirroring(name="culprit")(x)))
    with pytest.raises(kc.SurgeryError, match=f"(?s){message}"):
        kc.Surgeon(networks.unsettled(model)).extract({"made": np.arange(6) < 4})


class _NoConfig(layers.Layer):
    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs):
        return inputs * self.scale

    def get_config(self):
        return layers.Layer.get_config(self)


class _TakesAVariable(_NoConfig):
    get_config = layers.Layer.get_config


class _KeepsAVariable(_NoConfig):
    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@pytest.mark.parametrize(
    ("kind", "argument", "message"),
    [
        (_NoConfig, 2.0, r"from its config: .*Give it a get_config\(\) that"),
        (_TakesAVariable, keras.Variable(2.0), r"it has no get_config\(\) for what"),
        (_KeepsAVariable, keras.Variable(2.0), "holds the original's own weight 'variable"),
    ],
)
def test_layer_that_cannot_be_made_again_is_named(kind, argument, message):
    inputs = keras.Input((4,))
    x = kind(argument, name="custom")(layers.Dense(4, name="first")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(x))
    with pytest.raises(kc.SurgeryError, match=rf"(?s)'custom' \({kind.__name__}\).*{message}"):
        kc.Surgeon(model).extract({})


def test_wrong_layer_in_a_nested_model_is_named():
    class Turning(_Reversing):
        pass

    @kc.register_rule(Turning)
    def wrong(layer, inputs, call):
        return kc.Flow([call.same(inputs[0])])

    inputs = keras.Input((6, 6, 3))
    inner = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(6, 3, name="n1"),
            Turning(name="bad"),
            layers.Conv2D(4, 3, name="n2"),
        ]
    )
    outer = inputs
    for name in ("t1", "t2"):
        outer = layers.Conv2D(4, 3, name=name)(outer)
    x = layers.Concatenate()([outer, inner(inputs)])
    model = networks.unsettled(keras.Model(inputs, layers.Conv2D(2, 1, name="head")(x)))
    with pytest.raises(kc.SurgeryError, match="first at layer 'bad'"):
        kc.Surgeon(model).extract({"n1": np.arange(6) < 3, "t1": np.arange(4) < 2})


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_verified_with_its_own_tolerance(policy, rng):
    inputs = keras.Input((8, 8, 3))
    x = inputs
    for name in ("a", "b", "c"):
        x = layers.Conv2D(32, 3, padding="same", name=name, dtype=policy)(x)
        x = layers.BatchNormalization(dtype=policy)(x)
    model = networks.unsettled(keras.Model(inputs, layers.Conv2D(2, 1, name="head")(x)))
    graph = kc.ChannelGraph(model)
    for _ in range(3):
        masks = invariants.random_masks(graph, rng)
        assert kc.Surgeon(model).extract(masks).count_params() == graph.params(masks)


def test_nan_and_fixed_training_do_not_fail_a_right_extraction():
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(6, 3, name="made")(inputs)
    x = layers.Dropout(0.5)(x, training=True)
    x = layers.Conv2D(4, 3, name="reader")(x)
    outputs = keras.ops.log(x)  # NaN wherever x is negative
    model = networks.unsettled(keras.Model(inputs, outputs))
    small = kc.Surgeon(model).extract({"made": np.arange(6) < 3})
    assert small.get_layer("made").filters == 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(value):
    model = networks.small_convnet()
    for name in ("inner", "outer"):
        bias = model.get_layer(name).bias
        bias.assign(keras.ops.full(bias.shape, value))
    with pytest.raises(kc.SurgeryError, match=r"Layer 'inner' \(Conv2D\) has NaN or infinite"):
        kc.Surgeon(model).extract({"stem": np.arange(6) < 4})
    kc.Surgeon(model).extract({}, verify=False)


def test_infinite_weights_that_are_not_trained_are_taken():
    allowed = layers.Dense(4, trainable=False, activation="softmax")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(6, name="made"), allowed])
    allowed.bias.assign([0.0, 0.0, -np.inf, -np.inf])
    small = kc.Surgeon(model).extract({"made": np.arange(6) < 3})
    assert np.isneginf(keras.ops.convert_to_numpy(small.layers[-1].bias)[2:]).all()


@pytest.mark.only_on("tensorflow", reason="there strings are tensors")
def test_models_of_words_are_verified():
    words = keras.Input((3,), dtype="string")
    x = layers.Embedding(6, 8, name="cut")(layers.StringLookup(vocabulary=["a", "b"])(words))
    numbers = keras.Input((3,), dtype="int64")
    back = layers.StringLookup(vocabulary=["a", "b"], invert=True)(numbers)
    x = layers.Dense(2)(layers.GlobalAveragePooling1D()(x))
    model = keras.Model([words, numbers], [x, back])
    small = kc.Surgeon(model).extract({"cut": np.arange(8) < 4})
    assert small.get_layer("cut").output_dim == 4


def test_copy_carries_derived_state(rng):
    normal = layers.Normalization(axis=-1)
    normal.adapt(rng.normal(5, 3, (64, 4)))
    model = keras.Sequential([keras.Input((4,)), normal, layers.Dense(2)])
    copy = copy_model(model)
    invariants.assert_same_outputs(invariants.outputs_of(model), invariants.outputs_of(copy))
    copy.layers[-1].kernel.assign(copy.layers[-1].kernel * 0)
    assert np.abs(model.layers[-1].kernel.numpy()).max() > 0


def test_nothing_holds_on_to_a_small_model_that_is_let_go():
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(6, 3, name="made")(inputs) * 2.0
    model = keras.Model(inputs, layers.Conv2D(2, 1)(keras.ops.relu(x)))
    surgeon = kc.Surgeon(model)
    kernel = weakref.ref(surgeon.extract({"made": np.arange(6) < 3}).layers[1].kernel)
    gc.collect()
    assert kernel() is None


def test_configs_keep_their_initializers():
    model = networks.small_convnet()
    small = kc.Surgeon(model).extract({"stem": np.arange(6) < 3})
    for layer in small.layers:
        kept, made = model.get_layer(layer.name).get_config(), layer.get_config()
        for key in [key for key in made if key.endswith("_initializer")]:
            assert made[key]["class_name"] == kept[key]["class_name"]


def test_functions_of_the_users_own_are_carried_over(rng):
    factor = 2.0

    def bent(x):
        return keras.ops.tanh(factor * x)

    inputs = keras.Input((5, 3))
    x = layers.Dense(6, activation=bent)(inputs)
    x = layers.Lambda(lambda x, times: times * bent(x), arguments={"times": 3.0})(x)
    x = layers.Activation(bent)(layers.Dense(4, name="made")(x))
    model = networks.unsettled(keras.Model(inputs, layers.Dense(2)(layers.Dense(6, name="cut")(x))))
    masks = {"cut": np.arange(6) < 4}
    invariants.assert_extraction(model, masks)
