"""A copy has all that a layer has learned, also what is in neither its config nor its weights."""

import invariants
import keras
import networks
import numpy as np
import pytest
from keras import layers, ops

import keras_cascade as kc
from keras_cascade.surgery import copy_model

_WORDS = [["a"], ["b"], ["c"], ["a"]]


def _bins():
    layer = layers.Discretization(num_bins=4)
    layer.adapt(np.random.default_rng(0).normal(size=(100, 3)) * 10)
    values = np.random.default_rng(1).normal(size=(20, 3)).astype("float32") * 10
    return layer, keras.Input((3,)), values


def _numbers():
    layer = layers.IntegerLookup()
    layer.adapt(np.array([5, 6, 7, 9]))
    return layer, keras.Input((3,), dtype="int64"), np.array([[5, 6, 7], [9, 1, 5]])


def _words():
    layer = layers.StringLookup()
    layer.adapt(_WORDS)
    return layer, keras.Input((3,), dtype="string"), [["a", "b", "c"], ["c", "x", "a"]]


def _text():
    layer = layers.TextVectorization(output_sequence_length=3)
    layer.adapt([" ".join(word) for word in _WORDS])
    return layer, keras.Input((), dtype="string"), ["a b c", "c x a"]


def _weighed_words():
    layer = layers.StringLookup(output_mode="tf_idf")
    layer.adapt(_WORDS)
    return layer, keras.Input((3,), dtype="string"), [["a", "b", "c"], ["c", "x", "a"]]


def _normalised_inside():
    normal = layers.Normalization()
    normal.adapt(np.random.default_rng(0).normal(5, 3, (64, 4)))
    values = np.random.default_rng(1).normal(5, 3, (6, 3, 4)).astype("float32")
    return layers.TimeDistributed(normal), keras.Input((3, 4)), values


LOADS_WEIGHED_WORDS = pytest.mark.skipif(
    keras.__version__.startswith("3.12."), reason="Keras 3.12 cannot load what this layer saves"
)
STRINGS = pytest.mark.only_on("tensorflow", reason="there strings are tensors")


@pytest.mark.parametrize(
    "preprocessing",
    [
        _bins,
        _numbers,
        pytest.param(_words, marks=STRINGS),
        pytest.param(_text, marks=STRINGS),
        pytest.param(_weighed_words, marks=(STRINGS, LOADS_WEIGHED_WORDS)),
        _normalised_inside,
    ],
)
def test_what_preprocessing_has_adapted_is_copied(preprocessing):
    layer, inputs, values = preprocessing()
    x = layer(inputs)
    if x.dtype.startswith("int"):
        x = layers.Embedding(8, 4)(x)
    x = layers.Dense(8, name="cut")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(3)(x))
    values = ops.convert_to_tensor(values)
    expected = ops.convert_to_numpy(model(values))
    np.testing.assert_array_equal(ops.convert_to_numpy(copy_model(model)(values)), expected)
    assert np.ptp(expected) > 0.01
    kc.Surgeon(model).extract({"cut": np.arange(8) < 4})


class _Counting(layers.Layer):
    """Multiplies with a weight, and with a number that it saves with it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.factor = 1.0

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.scale * self.factor

    def save_own_variables(self, store):
        store["scale"], store["factor"] = self.scale, self.factor

    def load_own_variables(self, store):
        self.scale.assign(store["scale"])
        self.factor = float(store["factor"][()])


class _Forgetting(_Counting):
    def load_own_variables(self, store):
        self.factor = float(store["number"])


@kc.register_rule(_Counting)
def _scaled(layer, inputs, call):
    x = call.along(inputs[0])
    return kc.Flow([call.same(x)], weights=[(layer.scale, {0: x.labels})])


def _with(layer):
    inputs = keras.Input((4,))
    x = layer(layers.Dense(6, name="made")(inputs))
    layer.factor = 3.0
    return networks.unsettled(keras.Model(inputs, layers.Dense(2)(x)))


def test_what_a_layer_of_ones_own_saves_is_copied_and_cut():
    model = _with(_Counting(name="own"))
    small = invariants.assert_extraction(model, {"made": np.arange(6) < 4})
    assert small.get_layer("own").factor == 3.0


def test_state_that_cannot_be_loaded_is_named_before_training():
    model = _with(_Forgetting(name="own"))
    with pytest.raises(kc.SurgeryError, match="'own' .* cannot be copied: .* KeyError: 'number'"):
        kc.Distiller(_with(_Counting(name="own")), model)


def test_lora_inside_a_layer_is_copied(rng):
    inputs = keras.Input((5, 6))
    x = layers.Conv1D(6, 1)(layers.Conv1D(6, 1, name="cut")(inputs))
    attention = layers.MultiHeadAttention(2, 4, name="attention")
    model = keras.Model(inputs, layers.Dense(3)(attention(x, x)))
    attention.query_dense.enable_lora(2, lora_alpha=3)
    networks.unsettled(model)
    small = invariants.assert_extraction(model, {"cut": np.arange(6) < 4})
    query = small.get_layer("attention").query_dense
    assert (query.lora_rank, query.lora_alpha, len(query.trainable_weights)) == (2, 3, 3)
