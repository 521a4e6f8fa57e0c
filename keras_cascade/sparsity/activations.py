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
    return tf.where(x > 0.0, x, tf.math.expm1(tf.minimum(x, 0.0)))


@_registered
def glu(x):
    gated, gate = tf.split(x, 2, axis=-1)
    return gated * tf.sigmoid(gate)


@_registered
def hard_shrink(x):
    return tf.where(tf.abs(x) > 0.5, x, tf.zeros_like(x))


@_registered
def hard_sigmoid(x):
    return tf.nn.relu6(x + 3.0) / 6.0


@_registered
def hard_silu(x):
    return x * hard_sigmoid(x)


@_registered
def hard_tanh(x):
    return tf.clip_by_value(x, -1.0, 1.0)


@_registered
def leaky_relu(x):
    return tf.nn.leaky_relu(x, alpha=0.2)


@_registered
def log_sigmoid(x):
    return tf.math.log_sigmoid(x)


@_registered
def log_softmax(x):
    return tf.nn.log_softmax(x)


@_registered
def relu6(x):
    return tf.nn.relu6(x)


@_registered
def soft_shrink(x):
    return tf.sign(x) * tf.nn.relu(tf.abs(x) - 0.5)


@_registered
def squareplus(x):
    return (x + tf.sqrt(tf.square(x) + 4.0)) / 2.0


@_registered
def tanh_shrink(x):
    return x - tf.tanh(x)
