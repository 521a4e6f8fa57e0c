"""The shared body itself: it passes a right network and finds a wrong rule through all layers."""

import keras
import networks
import pytest
from keras import layers
from zoo import checking

import keras_cascade as kc

WIDTH, DEPTH = 16, 8


@keras.saving.register_keras_serializable(package="tests")
class Swapped(keras.layers.Layer):
    """Turns the order of the channels round."""

    def call(self, x):
        return keras.ops.flip(x, axis=-1)


@pytest.fixture
def wrong_rule():
    kc.register_rule(Swapped)(lambda layer, inputs, call: kc.Flow([call.same(inputs[0])]))
    yield
    kc.register_rule(Swapped)(lambda layer, inputs, call: call.keep_whole(inputs, "Swapped"))


def _deep(*first):
    """A deep chain in which an error made at the start dies out, unless weights are lively."""
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(WIDTH, 3, padding="same")(x)
    for layer in first:
        x = layer(x)
    for _ in range(DEPTH):
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.Conv2D(WIDTH, 1, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(checking.CLASSES)(x))


def test_a_right_network_is_good(tmp_path):
    row = checking.check_model(_deep(), tmp_path)
    assert checking.problems(row) == []
    assert row["filters"] == row["prunable_filters"] == (2 * DEPTH + 1) * WIDTH
    assert row["macs_after"] <= row["macs"] / 2


def test_a_wrong_rule_in_front_is_found(tmp_path, wrong_rule):
    row = checking.check_model(_deep(Swapped()), tmp_path)
    assert row["difference"] > 100 * checking.TOLERANCE
    assert row["difference_float64"] == pytest.approx(row["difference"], rel=0.01)
    (problem,) = checking.problems(row)
    assert "masked and extracted differ" in problem


def test_filters_kept_whole_are_counted_with_their_reason(tmp_path):
    row = checking.check_model(_deep(Swapped()), tmp_path)
    assert sum(row["kept_whole"].values()) == 2 * WIDTH  # of the layers before and behind
    assert row["prunable_filters"] == row["filters"] - 2 * WIDTH
    (problem,) = checking.problems(row)
    assert "of its filters are prunable" in problem and "Swapped" in problem
    assert checking.problems(row, min_share=0.8) == []


def test_float64_twin_computes_the_same():
    model = networks.small_convnet()
    images, _ = networks.examples_for(model, 4)
    ours, twins = (checking._outputs(m, images) for m in (model, checking._in_float64(model)))
    assert str(twins.dtype) == "float64"
    assert 0 < abs(ours - twins).max() < 1e-5
