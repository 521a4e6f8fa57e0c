"""The gates inside layers that mix channels themselves: the gradient of each is the loss's."""

import keras
import networks
import numpy as np
import pytest
from keras import layers
from marks import slow_but

import keras_cascade as kc

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _layer_normalized(x):
    return layers.LayerNormalization(name="norm")(layers.Dense(5, name="wide")(x))


def _attending(x):
    x = layers.Dense(4)(x)
    return layers.Add()([x, layers.MultiHeadAttention(2, 3, name="heads")(x, x)])


INSIDE = {
    "layer_normalization": _layer_normalized,
    "group_normalization": lambda x: layers.GroupNormalization(2)(layers.Dense(6)(x)),
    "lstm": lambda x: layers.LSTM(4, return_sequences=True, name="lstm")(x),
    "gru": lambda x: layers.Bidirectional(layers.GRU(3, return_sequences=True))(x),
    "attention": _attending,
}


@pytest.mark.parametrize("case", slow_but({"attention", "gru"}, INSIDE))
def test_saliency_inside_a_layer_is_the_loss_gradient_of_each_gate(case, rng):
    inputs = keras.Input((4, 3))
    x = layers.GlobalAveragePooling1D()(INSIDE[case](inputs))
    model = networks.unsettled(keras.Model(inputs, layers.Dense(3, name="logits")(x)))
    cascade = kc.CascadeDistiller(model, (0.3,), min_channels=1, momentum=0.0)
    cascade.compile(keras.optimizers.SGD(0.0), LOSS, run_eagerly=True)
    assert any(cascade.graph.mixes_inside(call) for call in cascade.graph.trace.calls)
    gates = cascade._gates[0]
    mask = gates.mask.numpy()
    mask[cascade.graph.prunable_groups[0].first_unit] = 0.0
    gates.mask.assign(mask)
    images = rng.standard_normal((8, 4, 3)).astype("float32")
    labels = rng.integers(0, 3, 8)
    cascade.train_on_batch(images, labels)
    measured = []
    for unit in range(len(mask)):
        ends = []
        for sign in (1, -1):
            moved = mask.copy()
            moved[unit] += sign * 2e-3
            gates.mask.assign(moved)
            cascade.reset_metrics()  # Keras 3.12 goes on with the mean of the batch before
            logs = cascade.test_on_batch(images, labels, return_dict=True)
            ends.append(logs["student_loss"])
        measured.append((ends[0] - ends[1]) / 4e-3)
    prunable = [
        u for g in cascade.graph.prunable_groups for u in range(g.units.start, g.units.stop)
    ]
    measured, probe = np.array(measured)[prunable], gates.probe.numpy()[prunable]
    assert np.abs(measured).max() > 1e-3
    np.testing.assert_allclose(probe, measured, rtol=2e-2, atol=1e-2 * np.abs(measured).max())


def test_level_with_gates_inside_trains_and_extracts_exactly(rng):
    inputs = keras.Input((4, 3))
    x = _attending(_layer_normalized(inputs))
    x = layers.LSTM(4, name="lstm")(x)
    images = rng.standard_normal((16, 4, 3)).astype("float32")
    _assert_trains_and_extracts_exactly(inputs, x, images, rng)


def test_level_with_gates_on_truth_values_trains_and_extracts_exactly(rng):
    """The mask of two embeddings side by side is computed of truth values, one a channel."""
    inputs = keras.Input((5,), dtype="int32")
    both = [layers.Embedding(9, width, mask_zero=True)(inputs) for width in (6, 4)]
    x = layers.LSTM(4)(layers.Concatenate()(both))
    _assert_trains_and_extracts_exactly(inputs, x, rng.integers(0, 3, (16, 5)), rng)


def _assert_trains_and_extracts_exactly(inputs, x, examples, rng):
    model = networks.unsettled(keras.Model(inputs, layers.Dense(3, name="logits")(x)))
    cascade = kc.CascadeDistiller(model, (0.2, 0.4), min_channels=1)
    cascade.compile(keras.optimizers.SGD(0.1), LOSS, jit_compile=False)
    data = examples, rng.integers(0, 3, 16)
    cascade.fit(*data, batch_size=8, verbose=0, callbacks=[kc.CascadeCallback(frequency=1)])
    student = cascade.extract()
    pair = cascade(data[0])["student"], student(data[0])
    masked, alone = map(keras.ops.convert_to_numpy, pair)
    np.testing.assert_allclose(masked, alone, rtol=1e-4, atol=1e-5)
    assert student.count_params() < model.count_params()
