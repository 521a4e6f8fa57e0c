"""Whether a model returns probabilities, wherever in it the softmax or sigmoid lies."""

import keras
import networks
import pytest
from keras import layers, ops

import keras_cascade as kc
from keras_cascade.cascade import returns_probabilities
from keras_cascade.graph.tracing import Alias


def _logits(units=3):
    return keras.Sequential([keras.Input((5,)), layers.Dense(units)])


def _ending(*calls, units=3):
    """A model of a dense layer and what is called on its output."""
    inputs = keras.Input((5,))
    x = layers.Dense(units)(inputs)
    for call in calls:
        x = call(x)
    return keras.Model(inputs, x)


def _nested(*calls):
    inputs = keras.Input((5,))
    return keras.Model(inputs, _ending(*calls)(inputs))


def _ensemble(*members):
    inputs = keras.Input((5,))
    return keras.Model(inputs, layers.Average()([member(inputs) for member in members]))


class _OwnCall(keras.Model):
    """A functional model whose `call` hides what it computes."""

    def call(self, inputs):
        return super().call(inputs)


def _own_call():
    inputs = keras.Input((5,))
    return _OwnCall(inputs, layers.Dense(3, activation="softmax")(inputs))


def _own_call_nested():
    inputs = keras.Input((5,))
    return keras.Model(inputs, _own_call()(inputs))


PROBABILITIES = {
    "activation": lambda: _ending(layers.Activation("softmax")),
    "sigmoid": lambda: _ending(layers.Dense(1, activation="sigmoid")),
    "layer": lambda: _ending(layers.Softmax()),
    "layer_as_activation": lambda: _ending(layers.Dense(3, activation=layers.Softmax())),
    "ops_as_activation": lambda: _ending(layers.Activation(ops.softmax)),
    "op_node": lambda: _ending(ops.softmax),
    "sigmoid_op_node": lambda: _ending(ops.sigmoid),
    "function": lambda: _ending(keras.activations.softmax),
    "nested": lambda: _nested(layers.Softmax()),
    "nested_twice": lambda: keras.Sequential(
        [keras.Input((5,)), keras.Sequential([_nested(layers.Activation("softmax"))])]
    ),
    "before_identity": lambda: _ending(layers.Softmax(), layers.Identity()),
    "before_linear": lambda: _ending(layers.Softmax(), layers.Activation("linear")),
    "before_cast": lambda: _ending(layers.Softmax(), lambda x: ops.cast(x, "float16")),
    "before_reshapes": lambda: _ending(
        layers.Softmax(),
        layers.Reshape((3, 1)),
        layers.Flatten(),
        lambda x: ops.reshape(x, (-1, 3)),
    ),
    "time_distributed": lambda: _ending(
        layers.RepeatVector(2), layers.TimeDistributed(layers.Dense(3, activation="softmax"))
    ),
    "renamed": lambda: _ending(Alias(layers.Softmax(), name="renamed")),
    "ensemble": lambda: _ensemble(_nested(layers.Softmax()), _ending(ops.softmax)),
    "own_call": _own_call,
    "own_call_nested": _own_call_nested,
}
LOGITS = {
    "plain": _logits,
    "nested": _nested,
    "softmax_inside": lambda: _ending(layers.Softmax(), layers.Dense(3)),
    "log_softmax": lambda: _ending(layers.Activation("log_softmax")),
    "before_linear": lambda: _ending(layers.Activation("linear"), layers.Identity()),
    "in_part": lambda: _ensemble(_nested(layers.Softmax()), _logits()),
    "nothing": lambda: keras.Sequential([keras.Input((5,)), layers.Identity()]),
}


@pytest.mark.parametrize("case", PROBABILITIES)
def test_probabilities(case):
    assert returns_probabilities(PROBABILITIES[case]())


@pytest.mark.parametrize("case", LOGITS)
def test_logits(case):
    assert not returns_probabilities(LOGITS[case]())


def test_models_without_a_graph_are_named():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(TypeError, match="is a subclassed model"):
        returns_probabilities(Own(name="own"))


def test_a_distiller_takes_a_softmax_that_is_nested():
    student = networks.small_convnet(activation="softmax")
    logits = networks.small_convnet()
    nested = keras.Sequential([keras.Input((8, 8, 2)), logits, layers.Softmax()])
    teacher = keras.Sequential([keras.Input((8, 8, 2)), nested])
    kc.Distiller(student, teacher)
    with pytest.raises(ValueError, match="one ends in probabilities"):
        kc.Distiller(logits, teacher)
