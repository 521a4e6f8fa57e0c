"""How the small models of the cases are put together."""

import keras
import networks
import numpy as np
from keras import layers, ops

IMAGE = (6, 5, 3)


SEQUENCE = (7, 3)


def chain(*middle, shape=IMAGE, first=None):
    """A layer that makes six channels, the layers in question, and a head that reads the result.

    Any of `middle` may be a function of a symbolic tensor.
    """
    inputs = keras.Input(shape)
    x = (first or layers.Conv2D(6, 3, name="made", padding="same"))(inputs)
    for layer in middle:
        x = layer(x)
    return closed(inputs, x)


def sequence(*middle, shape=SEQUENCE):
    return chain(*middle, shape=shape, first=layers.Dense(6, name="made"))


def with_constant(join, *shape, name="made", examples=3):
    """A sequence, joined with an array by a function of both."""
    array = np.random.default_rng(0).normal(size=shape).astype("float32")
    inputs = keras.Input(batch_shape=(examples, *SEQUENCE))
    x = join(layers.Dense(6, name=name)(inputs), ops.convert_to_tensor(array))
    return closed(inputs, layers.Dense(4, name="after")(x))


def branches(join, first=None, second=None):
    """Two convolutions of an image, joined by a function of two tensors."""
    inputs = keras.Input(IMAGE)
    one = (first or layers.Conv2D(6, 3, name="made", padding="same"))(inputs)
    two = (second or layers.Conv2D(6, 1, name="other"))(inputs)
    return closed(inputs, join(one, two))


def closed(inputs, x):
    """The model from `inputs` to a dense head on whatever `x` is."""
    if len(x.shape) > 2:
        x = layers.Flatten()(x)
    return networks.unsettled(keras.Model(inputs, layers.Dense(3, name="head")(x)))


def open_channels_first(*middle):
    inputs = keras.Input((3, None))
    x = layers.Conv1D(6, 1, data_format="channels_first", name="made")(inputs)
    for layer in middle:
        x = layer(x)
    return networks.unsettled(keras.Model(inputs, layers.Dense(3, name="head")(x)))
