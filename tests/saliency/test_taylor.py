"""Taylor scores: gate gradients by finite differences, the model untouched, errors that say why."""

import keras
import networks
import numpy as np
import pytest

import keras_cascade as kc
from keras_cascade.saliency.taylor import taylor

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
# Who reads a channel of a group, as (layer, axis of its kernel): a gate scales what they read.
READERS = {
    "stem": [("inner", 2), ("hidden", 0)],
    "inner": [("outer", 2)],
    "hidden": [("logits", 0)],
}


def _loss_with_gate(model, group, channel, gate, batch):
    kernels = [(model.get_layer(name).kernel, axis) for name, axis in READERS[group]]
    before = [kernel.numpy() for kernel, _ in kernels]
    for (kernel, axis), value in zip(kernels, before, strict=True):
        scale = np.ones(kernel.shape[axis])
        scale[channel] = gate
        kernel.assign(value * scale.reshape([-1 if n == axis else 1 for n in range(value.ndim)]))
    loss = LOSS(batch[1], model(batch[0], training=False))
    for (kernel, _), value in zip(kernels, before, strict=True):
        kernel.assign(value)
    return float(keras.ops.convert_to_numpy(loss))


def test_scores_are_finite_differences_and_the_model_is_untouched():
    model = networks.small_convnet(regularizer="l2")
    model.get_layer("inner").trainable = False
    before = [weight.numpy() for weight in model.weights]
    flags = [layer.trainable for layer in model.layers]
    x, y = networks.examples_for(model, 12)
    batches = [(x[:8], y[:8]), (x[8:], y[8:])]
    graph = kc.ChannelGraph(model)
    scores = taylor(graph, batches, LOSS)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    assert [layer.trainable for layer in model.layers] == flags
    assert not model.compiled
    for group, channel in [("stem", 0), ("stem", 5), ("inner", 3), ("hidden", 7)]:
        slopes = [
            (
                _loss_with_gate(model, group, channel, 1.05, batch)
                - _loss_with_gate(model, group, channel, 0.95, batch)
            )
            / 0.1
            for batch in batches
        ]
        got = scores[graph[group].first_unit + channel]
        assert got == pytest.approx(np.mean(np.square(slopes)), rel=0.02, abs=1e-9)
        assert got > 0.0


def test_arrays_data_sets_and_generators_give_the_same():
    import tensorflow as tf

    model = networks.small_convnet(normalised=False)
    x, y = networks.examples_for(model, 40)
    graph = kc.ChannelGraph(model)
    expected = taylor(graph, (x, y), LOSS)
    batches = [(x[:32], y[:32]), (x[32:], y[32:])]
    for data in (
        tf.data.Dataset.from_tensor_slices((x, y)).batch(32),
        (batch for batch in batches),
        iter(batches),
    ):
        np.testing.assert_allclose(taylor(graph, data, LOSS), expected, rtol=1e-5)


def test_global_scope_takes_scores_as_losses_per_cost():
    model = networks.small_convnet()
    x, y = networks.examples_for(model, 8)
    masks = kc.prune_masks(model, 0.4, criterion="taylor", data=(x, y), loss=LOSS)
    graph = kc.ChannelGraph(model)
    scores = taylor(graph, (x, y), LOSS)
    own = kc.prune_masks(model, 0.4, criterion=lambda graph: scores)
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask, own[name])
    assert graph.macs(masks) <= 0.6 * graph.macs()


class _Endless(keras.utils.PyDataset):
    num_batches = None


def test_bad_data():
    import tensorflow as tf

    model = networks.small_convnet()
    graph = kc.ChannelGraph(model)
    x, y = networks.examples_for(model, 4)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    for data, loss, message in (
        (None, LOSS, r"needs data=\(x, y\).*and loss="),
        ((x, y), None, r"needs data=\(x, y\).*and loss="),
        ((x,), LOSS, "needs labels.*tuple must be"),
        ([x, y], LOSS, "needs labels.*arrays go in a tuple"),
        (x, LOSS, "needs labels.*Got x alone"),
        ((x[:0], y[:0]), LOSS, "data is empty"),
        (batches.take(0), LOSS, "data is empty"),
        ([], LOSS, "data is empty"),
        (iter(()), LOSS, "data is empty"),
        (batches.repeat(), LOSS, "never ends"),
        (_Endless(), LOSS, "never ends"),
        ((x * np.nan, y), LOSS, "NaN or infinite"),
        ((x, y + 1), LOSS, r"At batch 1, \d labels outside the classes 0\.\.3\. Check"),
        ((x, keras.utils.to_categorical(y, 4)), LOSS, r"^Labels of shape .* are one-hot"),
        (batches.map(lambda x, y: (x, -y - 1)), LOSS, r"At batch 1, 4 labels outside"),
    ):
        with pytest.raises(ValueError, match=message):
            taylor(graph, data, loss)
