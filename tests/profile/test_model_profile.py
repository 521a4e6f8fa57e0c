"""Sizes against Keras' own count, NumPy, and TensorFlow's profiler."""

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from marks import slow

import keras_cascade as kc

KERNEL_OPS = ("Conv2D", "DepthwiseConv2dNative", "MatMul")


def _macs_by_tensorflow(model):
    """Half the floating point operations of all kernels, as TensorFlow's profiler counts them."""
    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
    profiler = tf.compat.v1.profiler
    options = (
        profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
        .with_empty_output()
        .build()
    )
    root = profiler.profile(function.graph, cmd="op", options=options)
    flops, nodes = 0, list(root.children)
    while nodes:
        node = nodes.pop()
        nodes.extend(node.children)
        if node.name in KERNEL_OPS:
            flops += node.total_float_ops - sum(child.total_float_ops for child in node.children)
    return flops / 2


@pytest.mark.only_on("tensorflow", reason="TensorFlow's profiler reads TensorFlow's graphs")
@pytest.mark.parametrize("name", ["MobileNetV2", *slow("VGG16", "ResNet50")])
def test_macs_agree_with_tensorflows_profiler(name):
    model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3))
    assert kc.profile(model).macs == _macs_by_tensorflow(model)


# Layer on (7, 6) or (5, 4, 6), and positions x kernel x channels in x channels out.
BY_HAND = {
    "transposed": (layers.Conv2DTranspose(3, 2, strides=2), 5 * 4 * 2 * 2 * 6 * 3),
    "grouped": (layers.Conv2D(4, 3, padding="same", groups=2), 5 * 4 * 9 * 3 * 4),
    "grouped_depthwise": (layers.Conv2D(12, 3, padding="same", groups=6), 5 * 4 * 9 * 12),
    "einsum": (layers.EinsumDense("abc,cde->abde", (7, 2, 3)), 7 * 6 * 2 * 3),
    "einsum_carried": (layers.EinsumDense("abc,bd->adc", (5, 6)), 7 * 5 * 6),
    "lstm": (layers.LSTM(3), 7 * (6 + 3) * 4 * 3),
    "gru": (layers.GRU(3), 7 * (6 + 3) * 3 * 3),
    "bidirectional": (layers.Bidirectional(layers.SimpleRNN(3)), 2 * 7 * (6 + 3) * 3),
    "time_distributed": (layers.TimeDistributed(layers.Dense(3)), 7 * 6 * 3),
    "attention": (
        lambda x: layers.MultiHeadAttention(2, 3, value_dim=4, output_shape=5)(x, x),
        7 * 6 * 2 * (3 + 3 + 4) + 7 * 7 * 2 * (3 + 4) + 7 * 2 * 4 * 5,
    ),
    "grouped_attention": (
        lambda x: layers.GroupQueryAttention(3, 4, 2)(x, x),
        7 * 6 * 3 * (4 + 2 + 2) + 7 * 7 * 4 * (3 + 3) + 7 * 4 * 3 * 6,
    ),
    "dot": (lambda x: layers.Dot(2)([x, x]), 7 * 7 * 6),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_macs_by_hand(case):
    layer, expected = BY_HAND[case]
    two_dimensional = case in ("transposed", "grouped", "grouped_depthwise")
    inputs = keras.Input((5, 4, 6) if two_dimensional else (7, 6))
    sizes = kc.profile(keras.Model(inputs, layer(inputs)))
    assert sizes.macs == expected
    assert sizes.uncounted_layers == ()


def test_counts_by_hand():
    model = networks.small_convnet()
    model.get_layer("stem_bn").trainable = False
    kernel = model.get_layer("inner").kernel
    zeroed = kernel.numpy()
    zeroed[..., :3] = 0.0
    kernel.assign(zeroed)
    sizes = kc.profile(model)
    assert sizes.params == model.count_params()
    assert sizes.trainable_params == model.count_params() - 4 * 6
    assert sizes.nonzero_params == sum(np.count_nonzero(w) for w in model.get_weights())
    assert sizes.params - sizes.nonzero_params == 9 * 6 * 3
    assert sizes.bytes == 4 * model.count_params()
    assert sizes.uncounted_layers == ()


def test_what_is_not_counted_is_named():
    inputs = keras.Input((5, 8, 8, 3))
    x = layers.ConvLSTM2D(4, 3, name="film")(inputs)
    x = layers.Conv2D(2, 1, name="counted")(x)
    sizes = kc.profile(keras.Model(inputs, x))
    assert sizes.uncounted_layers == ("film",)
    assert sizes.macs == 6 * 6 * 4 * 2


def test_open_input_size_has_no_macs():
    inputs = keras.Input((None, None, 3))
    sizes = kc.profile(keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)))
    assert sizes.macs is None and sizes.params == 112
