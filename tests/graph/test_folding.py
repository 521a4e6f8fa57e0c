"""Positions folded into the batch cost as much as they do unfolded, and are measured so."""

import keras
import networks
import numpy as np
import pytest
from keras import layers, ops

import keras_cascade as kc
from keras_cascade.graph import segments


def _frames(folded):
    """Four 6x6 images an example, each through two convolutions, then a Dense over all."""
    inputs = keras.Input((4, 6, 6, 3))
    convolutions = [layers.Conv2D(8, 3, activation="relu"), layers.Conv2D(6, 3, strides=2)]
    x = ops.reshape(inputs, (-1, 6, 6, 3)) if folded else inputs
    for layer in convolutions:
        x = layer(x) if folded else layers.TimeDistributed(layer)(x)
    x = ops.reshape(x, (-1, 4, 6))
    return networks.unsettled(keras.Model(inputs, layers.Dense(5)(x)))


def _windows():
    """Attention within four windows of four tokens each, as in Swin."""
    inputs = keras.Input((4, 4, 3))
    x = y = layers.Conv2D(8, 1, name="embed")(inputs)
    y = ops.transpose(ops.reshape(y, (-1, 2, 2, 2, 2, 8)), (0, 1, 3, 2, 4, 5))
    y = ops.reshape(y, (-1, 4, 8))
    y = layers.MultiHeadAttention(2, 4, name="attention")(y, y)
    y = ops.transpose(ops.reshape(y, (-1, 2, 2, 2, 2, 8)), (0, 1, 3, 2, 4, 5))
    x = layers.Add()([x, ops.reshape(y, (-1, 4, 4, 8))])
    outputs = layers.Dense(3, name="head")(layers.GlobalAveragePooling2D()(x))
    return networks.unsettled(keras.Model(inputs, outputs))


def test_frames_cost_what_they_do_unfolded():
    folded, unfolded = (kc.ChannelGraph(_frames(folded)) for folded in (True, False))
    assert folded.macs() == unfolded.macs() == 4 * (16 * 27 * 8 + 72 * 6) + 4 * 6 * 5


def test_a_row_of_several_examples_costs_what_it_does():
    inputs = keras.Input((4,))
    pairs = ops.reshape(layers.Dense(6)(inputs), (-1, 2 * 6))
    assert kc.ChannelGraph(keras.Model(inputs, layers.Dense(3)(pairs))).macs() == 4 * 6 + 12 * 3


def test_windows_cost_all_of_them():
    macs = {name: macs for name, (_, macs) in kc.ChannelGraph(_windows()).layer_costs().items()}
    assert macs["embed"] == 16 * 3 * 8
    assert macs["attention"] == 16 * 4 * 8 * 8 + 4 * 2 * (4 * 4 * 8)
    assert macs["head"] == 8 * 3


@pytest.mark.parametrize("make", [lambda: _frames(True), _windows], ids=["frames", "windows"])
def test_segments_take_the_rows_of_one_example(make):
    graph = kc.ChannelGraph(make())
    random = np.random.default_rng(0)
    parts = segments(graph)
    for part in parts:
        shapes = [
            (rows, *tensor.shape[1:])
            for tensor, rows in zip(part.traced.inputs, part.rows, strict=True)
        ]
        values = [random.normal(size=shape).astype("float32") for shape in shapes]
        for output, tensor in zip(part.model().outputs, part.traced.outputs, strict=True):
            assert output.shape[0] in (None, graph.rows[tensor])
        assert part.model()(values) is not None
    assert max(rows for part in parts for rows in part.rows) == 4
    everything = graph.keep_vector()
    assert graph.as_cost([term for part in parts for term in part.macs]).total(everything) == (
        graph.macs()
    )
