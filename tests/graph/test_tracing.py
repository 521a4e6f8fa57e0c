"""Tracing: nested models become one list of calls that computes the same."""

import invariants
import keras
import networks
import numpy as np
import pytest
from keras import layers, ops

import keras_cascade as kc
from keras_cascade.graph.tracing import replay, trace


def _nested():
    base = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="conv"), layers.ReLU(name="act")],
        name="base",
    )
    inner_input = keras.Input((6, 6, 4))
    inner = keras.Model(inner_input, layers.Conv2D(5, 3, name="conv")(inner_input), name="inner")
    inputs = keras.Input((8, 8, 3), name="image")
    x = inner(base(inputs)) * 2.0
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    head = keras.Sequential([keras.Input((5,)), layers.Dense(3, name="fc")], name="head")
    return keras.Model(inputs, head(x), name="nested")


def test_nested_models_are_dissolved():
    traced = trace(_nested())
    names = [call.name for call in traced.calls]
    assert names[:3] == ["conv", "act", "inner_conv"]
    assert names[-1] == "fc"
    assert not any(isinstance(call.operation, keras.Model) for call in traced.calls)


def test_what_no_output_needs_is_left_out(rng):
    given = keras.Input((4,))
    used, unused = layers.Dense(5, name="used"), layers.Dense(6, name="unused")
    twofold = keras.Model(given, [used(given), unused(given)])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(twofold(inputs)[0]))
    assert "unused" not in trace(model).layers
    invariants.assert_extraction(model, {"used": rng.permutation(5) < 3})


def test_replay_computes_the_same(rng):
    model = _nested()
    traced = trace(model)
    images = ops.convert_to_tensor(rng.standard_normal((2, 8, 8, 3)), dtype="float32")
    values = replay(traced, [images])
    replayed, called = map(ops.convert_to_numpy, (values[traced.outputs[0]], model(images)))
    np.testing.assert_allclose(replayed, called, rtol=1e-6)


def test_extracted_nested_model_keeps_the_output_name(rng):
    model = _nested()
    graph = kc.ChannelGraph(model)
    assert {g.name for g in graph.prunable_groups} == {"conv", "inner_conv"}
    small = invariants.assert_extraction(model, {"conv": np.array([True, False, True, False])})
    assert small.output_names == ["head"]


def test_dict_inputs_and_outputs_keep_their_structure():
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((3,), name="b")}
    hidden = layers.Concatenate(name="join")(
        [layers.Dense(6, name="left")(inputs["a"]), layers.Dense(5, name="right")(inputs["b"])]
    )
    outputs = {"x": layers.Dense(2, name="x")(hidden), "y": layers.Dense(1, name="y")(hidden)}
    model = keras.Model(inputs, outputs)
    small = invariants.assert_extraction(model, {"left": np.arange(6) < 3})
    result = small({"a": np.ones((2, 4)), "b": np.ones((2, 3))})
    assert set(result) == {"x", "y"}


def test_user_model_is_left_as_it_was(rng):
    model = _nested()
    before = [array.copy() for array in model.get_weights()]
    names = [variable.path for variable in model.weights]
    kc.Surgeon(model).extract({"conv": np.array([True, False, True, False])})
    assert names == [variable.path for variable in model.weights]
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


class _Hiding(layers.Layer):
    """Takes no `training`, which reaches the Dropout inside all the same."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dropout = layers.Dropout(0.5)

    def call(self, inputs):
        return self.dropout(inputs)


def _dropout_model():
    return keras.Sequential([keras.Input((64,)), layers.Dropout(0.5)])


@pytest.mark.parametrize("inside", [lambda: layers.Dropout(0.5), _Hiding, _dropout_model])
def test_training_fixed_for_a_nested_model_reaches_its_layers(inside):
    inner = keras.Sequential([keras.Input((64,)), inside()], name="inner")
    inputs = keras.Input((4,))
    x = inner(layers.Dense(64, name="cut")(inputs), training=True)
    model = keras.Model(inputs, layers.Dense(3, name="out")(x))
    batch = np.ones((4, 4), "float32")
    for copy in (model, kc.Surgeon(model).extract({}), kc.masked_view(model, {})):
        first, second = (ops.convert_to_numpy(copy(batch)) for _ in range(2))
        assert np.abs(first - second).max() > 0.01
        quiet = (ops.convert_to_numpy(copy(batch, training=False)) for _ in range(2))
        np.testing.assert_array_equal(*quiet)


def test_normalisation_fixed_in_inference_stays_so():
    base = keras.Sequential([keras.Input((4,)), layers.BatchNormalization(name="bn")], name="base")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(base(inputs, training=False)))
    (call,) = (call for call in trace(model).calls if call.name == "bn")
    assert call.kwargs["training"] is False


def test_mask_given_to_a_nested_model_is_kept():
    given = keras.Input((5, 4))
    inner = keras.Model(given, layers.LSTM(3)(given), name="inner")
    inputs, mask = keras.Input((5, 4)), keras.Input((5,), dtype="bool")
    x = inner(layers.Dense(4, name="made")(inputs), mask=mask)
    model = keras.Model([inputs, mask], layers.Dense(2, name="out")(x))
    assert (
        "a nested model that is inside a layer, or called with a mask"
        in kc.ChannelGraph(model)["made"].reason
    )
    batch = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    steps = np.arange(5) < np.array([[2], [4]])
    small = kc.Surgeon(model).extract({})
    expected, got, other = (
        m([batch, s]) for m, s in ((model, steps), (small, steps), (small, ~steps))
    )
    invariants.assert_same_outputs(*([ops.convert_to_numpy(y)] for y in (expected, got)))
    assert np.abs(ops.convert_to_numpy(got - other)).max() > 0.01


@pytest.mark.filterwarnings("ignore:The structure of `inputs`")
@pytest.mark.parametrize("keys", ["abc", "acb", "bca"])
def test_dict_with_more_keys_than_a_nested_model_takes(keys):
    own = {key: keras.Input((3,), name=key) for key in sorted(keys[:2])}
    joined = ops.concatenate([own[keys[0]], 10.0 * own[keys[1]]], axis=-1)
    inner = keras.Model(own, joined, name="inner")
    given = [keras.Input((3,), name=f"given_{key}") for key in keys]
    model = keras.Model(given, layers.Dense(2)(inner(dict(zip(keys, given, strict=True)))))
    invariants.assert_same_outputs(
        invariants.outputs_of(model), invariants.outputs_of(kc.Surgeon(model).extract({}))
    )


class _SumOfThoseGiven(layers.Layer):
    def call(self, first, second=None):
        return first if second is None else first + second

    def compute_output_shape(self, first_shape, second_shape=None):
        return first_shape


def test_inputs_stay_optional():
    first, second = keras.Input((4,)), keras.Input((4,), optional=True)
    x = layers.Dense(6, name="cut")(_SumOfThoseGiven()(first, second))
    model = keras.Model([first, second], layers.Dense(2)(x))
    small = kc.Surgeon(model).extract({})
    batch = np.ones((2, 4), "float32")
    expected, got = (ops.convert_to_numpy(one([batch, None])) for one in (model, small))
    invariants.assert_same_outputs([expected], [got])


@pytest.mark.only_on("tensorflow", "jax", reason="Keras on PyTorch has no sparse tensors")
def test_inputs_stay_sparse():
    inputs = keras.Input((4,), sparse=True)
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(6)(inputs)))
    assert kc.Surgeon(model).extract({}).inputs[0].sparse


def _tower(name="tower"):
    inputs = keras.Input((4,))
    x = layers.Dense(6, name="wide")(inputs)
    return keras.Model(inputs, layers.Dense(3, name="narrow")(x), name=name)


def _tower_for_two():
    first, second, tower = keras.Input((4,), name="a"), keras.Input((4,), name="b"), _tower()
    return keras.Model([first, second], [tower(first), tower(second)])


def _nested_with_two_outputs():
    inputs = keras.Input((4,))
    x = layers.Dense(6, name="wide")(inputs)
    two = keras.Model(inputs, [layers.Dense(2)(x), layers.Dense(3)(x)], name="two")
    outer = keras.Input((4,), name="outer")
    return keras.Model(outer, two(outer))


def _layer_named_as_its_model():
    head = keras.Sequential(
        [keras.Input((4,)), layers.Dense(5, name="head"), layers.Dense(2, name="d")], name="head"
    )
    inputs = keras.Input((4,))
    return keras.Model(inputs, head(inputs))


def _layer_named_as_the_input():
    inputs = keras.Input((4,), name="wide")
    return keras.Model(inputs, layers.Dense(2, name="out")(_tower()(inputs)))


def _layers_named_as_ours():
    inputs = keras.Input((4,))
    x = layers.Dense(6, name="student_gates")(inputs)
    x = layers.Dense(6, name="channel_mask_0")(x)
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


@pytest.mark.parametrize(
    "build",
    [
        _tower_for_two,
        _nested_with_two_outputs,
        _layer_named_as_its_model,
        _layer_named_as_the_input,
        _layers_named_as_ours,
    ],
)
def test_names_that_meet_when_flattened(build, rng):
    model = build()
    graph = kc.ChannelGraph(model)
    assert graph.prunable_groups
    small = kc.Surgeon(model).extract(invariants.random_masks(graph, rng))
    assert small.output_names == model.output_names
    invariants.assert_extraction(model, invariants.random_masks(graph, rng))
    if len(model.outputs) == 1:
        kc.CascadeDistiller(model, (0.2,), min_channels=1)


def test_sequential_models(rng):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, name="conv"),
            layers.Flatten(),
            layers.Dense(3, name="out"),
        ]
    )
    graph = kc.ChannelGraph(model)
    invariants.assert_extraction(model, invariants.random_masks(graph, rng))
    cascade = kc.CascadeDistiller(model, (0.5,), min_channels=1)
    cascade.update_masks()
    assert cascade.extract().count_params() < model.count_params()
    assert kc.profile(kc.prune(model, 0.5)).macs < kc.profile(model).macs


def test_keras_masks_reach_their_readers_through_gates():
    inputs = keras.Input((7,), dtype="int32")
    x = layers.Embedding(20, 6, mask_zero=True, name="table")(inputs)
    x = layers.Dense(5, name="masked")(x)
    x = layers.GlobalAveragePooling1D()(layers.Dense(4, name="read")(x))
    model = networks.unsettled(keras.Model(inputs, layers.Dense(2)(x)))
    masks = {"masked": np.arange(5) < 2, "table": np.arange(6) < 3, "read": np.arange(4) < 2}
    invariants.assert_extraction(model, masks)


def test_keras_mask_with_channels_is_not_followed():
    inputs = keras.Input((7, 3))
    x = layers.Dense(7, name="made")(inputs)
    kept = layers.Dense(7, name="steps")(layers.GlobalMaxPooling1D()(x)) > 0.0
    x = layers.LSTM(4, name="lstm")(x, mask=kept)
    graph = kc.ChannelGraph(keras.Model(inputs, layers.Dense(2)(x)))
    assert "LSTM called with a mask that has channels" in graph["steps"].reason
