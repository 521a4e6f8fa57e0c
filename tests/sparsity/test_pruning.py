"""prune_weights: the zeros are there, the rest of the model is as it was, the teacher teaches."""

import keras
import networks
import numpy as np
import pytest

import keras_cascade as kc
from keras_cascade.sparsity import prunable_weights


def _zeros(model):
    """Share of zeros in each layer's first weight, for layers with kernels."""
    return {
        layer.name: float(np.mean(layer.get_weights()[0] == 0.0))
        for layer in model.layers
        if layer.weights and layer.get_weights()[0].ndim > 1
    }


@pytest.mark.parametrize("with_teacher", [False, True])
def test_every_kernel_gets_its_zeros_in_a_run_of_three_steps(with_teacher):
    model = networks.small_convnet(regularizer="l2")
    before = model.get_weights()
    x, y = networks.examples_for(model, 24)
    teacher = networks.small_convnet(normalised=False) if with_teacher else None
    sparse = kc.prune_weights(model, 0.8, data=(x, y), batch_size=8, teacher=teacher, verbose=0)
    sizes = {layer.name: layer.weights[0].shape.num_elements() for layer in sparse.layers[1:2]}
    assert sizes == {"stem": 108}
    for name, share in _zeros(sparse).items():
        size = np.size(sparse.get_layer(name).get_weights()[0])
        assert abs(share - 0.8) <= max(0.005, 1 / size), name
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)
    assert isinstance(sparse, keras.Model)
    assert sparse.get_layer("stem").get_config() == model.get_layer("stem").get_config()
    moved = [np.any(a != b) for a, b in zip(sparse.get_weights(), before, strict=True)]
    assert all(moved)  # biases and moving statistics came back too


def test_depthwise_kernels_and_kept_layers_stay_dense():
    model = networks.build("MobileNetV2")
    counts = prunable_weights(model, keep=["predictions"] if _has(model, "predictions") else [])
    depthwise = [
        layer.name for layer in model.layers if isinstance(layer, keras.layers.DepthwiseConv2D)
    ]
    assert depthwise and not set(depthwise) & set(counts)
    convolutions = [layer for layer in model.layers if type(layer) is keras.layers.Conv2D]
    for layer in convolutions:
        assert counts[layer.name] == np.size(layer.get_weights()[0])


def _has(model, name):
    return any(layer.name == name for layer in model.layers)
