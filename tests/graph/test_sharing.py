"""Weights that two operations hold are counted once, kept whole and stay shared."""

import invariants
import keras
import networks
import numpy as np
import pytest
from keras import layers, ops

import keras_cascade as kc


class _Untable(layers.Layer):
    """Multiplies with the transposed table of an Embedding."""

    def __init__(self, embedding, **kwargs):
        super().__init__(**kwargs)
        self.embedding = embedding

    def build(self, shape):
        if not self.embedding.built:
            self.embedding.build(None)

    def call(self, x):
        return ops.matmul(x, ops.transpose(self.embedding.embeddings))

    def get_config(self):
        embedding = keras.saving.serialize_keras_object(self.embedding)
        return {**super().get_config(), "embedding": embedding}

    @classmethod
    def from_config(cls, config):
        embedding = keras.saving.deserialize_keras_object(config.pop("embedding"))
        return cls(embedding, **config)


def _inside_and_direct():
    shared = layers.Dense(16, activation="relu", name="shared")
    sequence, vector = keras.Input((5, 4)), keras.Input((4,))
    x = layers.GlobalAveragePooling1D()(layers.TimeDistributed(shared)(sequence))
    x = layers.Concatenate()([x, shared(vector)])
    return keras.Model([sequence, vector], layers.Dense(2)(layers.Dense(6, name="free")(x)))


def _inside_two():
    shared = layers.Dense(4, name="shared")
    inputs = keras.Input((5, 4))
    x = layers.TimeDistributed(shared, name="first")(inputs)
    x = layers.TimeDistributed(shared, name="second")(layers.ReLU()(x))
    return keras.Model(inputs, layers.Dense(2)(layers.Dense(6, name="free")(x)))


def _tied_table():
    table = layers.Embedding(20, 8, name="table")
    tokens = keras.Input((5,), dtype="int32")
    x = layers.Dense(8)(layers.Dense(6, name="free")(table(tokens)))
    return keras.Model(tokens, _Untable(table, name="untable")(x))


def _read_by_an_operation():
    square = layers.Dense(8, use_bias=False, name="square")
    inputs = keras.Input((4, 8))
    x = layers.Dense(8)(layers.Dense(6, name="free")(square(inputs)))
    return keras.Model(inputs, ops.matmul(x, square.kernel))


def _renamed_when_flattened():
    shared = layers.Dense(4, name="shared")
    inner = keras.Sequential([keras.Input((5, 4)), shared], name="inner")
    inputs = keras.Input((5, 4))
    x = layers.TimeDistributed(shared)(layers.Dense(4, name="free")(inputs))
    x = layers.Add()([layers.Dense(4, name="shared")(x), inner(inputs)])
    return keras.Model(inputs, x)


@pytest.mark.parametrize(
    "build",
    [
        _inside_and_direct,
        _inside_two,
        _tied_table,
        _read_by_an_operation,
        _renamed_when_flattened,
    ],
)
def test_shared_weights_are_counted_once_and_stay_shared(build, rng):
    model = networks.unsettled(build())
    graph = kc.ChannelGraph(model)
    assert graph.params() == model.count_params()
    assert sum(params for params, _ in graph.layer_costs().values()) == model.count_params()
    assert "weights shared with layer" in graph.summary()
    masks = invariants.random_masks(graph, rng)
    small = kc.Surgeon(model).extract(masks)
    assert small.count_params() == graph.params(masks)
    masked = invariants.outputs_of(kc.masked_view(model, masks))
    invariants.assert_same_outputs(masked, invariants.outputs_of(small))
    for weight in small.weights:  # where one of a pair were the original's, or a second copy
        weight.assign(ops.zeros(weight.shape, weight.dtype))
    assert all(np.all(output == 0) for output in invariants.outputs_of(small))


def test_group_of_a_shared_layer_says_why_it_is_kept():
    graph = kc.ChannelGraph(_tied_table())
    assert graph["table"].reason == "table: weights shared with layer 'untable'"
    assert [group.name for group in graph.prunable_groups] == ["free"]


def test_cut_model_is_not_larger_than_its_original():
    model = _inside_and_direct()
    assert kc.prune(model, 0.05, budget="params").count_params() < model.count_params()


class _OwnTable(_Untable):
    def get_config(self):
        return {"name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(layers.Embedding(20, 8), **config)


def test_layers_that_would_come_apart_are_refused():
    table = layers.Embedding(20, 8, name="table")
    tokens = keras.Input((5,), dtype="int32")
    model = keras.Model(tokens, _OwnTable(table, name="own")(table(tokens)))
    message = "'own' .* no longer shares the weight 'table/embeddings' with layer 'table'"
    with pytest.raises(kc.SurgeryError, match=message):
        kc.Surgeon(model).extract({})


def test_weight_that_no_layer_holds_is_named():
    own = layers.Dense(3, use_bias=False, name="elsewhere")
    own.build((None, 4))
    inputs = keras.Input((4,))
    x = layers.Dense(4)(inputs)
    model = keras.Model(inputs, ops.matmul(x, own.kernel))
    with pytest.raises(kc.SurgeryError, match="reads the weight 'elsewhere/kernel' itself"):
        kc.Surgeon(model).extract({})


def test_normalisation_inside_another_layer_too_is_one_for_all_levels():
    normal = layers.BatchNormalization(name="shared")
    inputs = keras.Input((5, 4))
    x = layers.GlobalAveragePooling1D()(layers.TimeDistributed(normal)(inputs))
    x = layers.Dense(4)(layers.Dense(8, name="free")(normal(x)))
    model = keras.Model(inputs, x)
    cascade = kc.CascadeDistiller(model, (0.2,), min_channels=1)
    cascade.set_masks(-1, {"free": np.arange(8) < 4})
    assert cascade.extract().count_params() == cascade.graph.params(cascade.masks())
