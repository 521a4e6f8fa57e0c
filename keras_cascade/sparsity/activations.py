"""Activations of Keras 3 that tf_keras lacks or means something else by (its hard_sigmoid).

Imported only where tf_keras is. They are registered, so that a tf_keras model that has them can be
saved; it can be loaded where this module has been imported.
"""

import tensorflow as tf
import tf_keras

BY_NAME = {}


def _registered(function):
    BY_NAME[function.__name__] = function
    return tf_keras.saving.register_keras_serializable(package="keras_cascade")(function)


@_registered
def celu(x):
    """ELU, as continuously differentiable (Barron 2017), with alpha 1."""
    return tf.where(x > 0.0, x, tf.math.expm1(tf.minimum(x, 0.0)))


@_registered
def glu(x):
    """The first half of the channels, gated by the sigmoid of the second."""
    gated, gate = tf.split(x, 2, axis=-1)
    return gated * tf.sigmoid(gate)


@_registered
def hard_shrink(x):
    """Zero within 0.5 of zero."""
    return tf.where(tf.abs(x) > 0.5, x, tf.zeros_like(x))


@_registered
def hard_sigmoid(x):
    """Keras 3's: slope 1/6; tf_keras has 0.2."""
    return tf.nn.relu6(x + 3.0) / 6.0


@_registered
def hard_silu(x):
    """x times `hard_sigmoid`."""
    return x * hard_sigmoid(x)


@_registered
def hard_tanh(x):
    """Clipped to [-1, 1]."""
    return tf.clip_by_value(x, -1.0, 1.0)


@_registered
def leaky_relu(x):
    """With Keras 3's slope of 0.2."""
    return tf.nn.leaky_relu(x, alpha=0.2)


@_registered
def log_sigmoid(x):
    """The logarithm of the sigmoid."""
    return tf.math.log_sigmoid(x)


@_registered
def log_softmax(x):
    """The logarithm of the softmax over the channels."""
    return tf.nn.log_softmax(x)


@_registered
def relu6(x):
    """Clipped to [0, 6]."""
    return tf.nn.relu6(x)


@_registered
def soft_shrink(x):
    """Moved towards zero by 0.5."""
    return tf.sign(x) * tf.nn.relu(tf.abs(x) - 0.5)


@_registered
def squareplus(x):
    """A smooth ReLU, with b = 4."""
    return (x + tf.sqrt(tf.square(x) + 4.0)) / 2.0


@_registered
def tanh_shrink(x):
    """x less its tanh."""
    return x - tf.tanh(x)
