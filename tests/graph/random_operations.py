"""Random op nodes, and what no rule covers, for a tensor of a drawn shape.

Also the draws that all random parts share. See `random_layers` for what a maker is.
"""

import math

import keras
import numpy as np
from hypothesis import strategies as st
from keras import layers, ops

MOST_ELEMENTS = 240


def pick(draw, *options):
    return draw(st.sampled_from(options))


def count(draw, low, high):
    return draw(st.integers(low, high))


def divisor(draw, number):
    return pick(draw, *(n for n in range(1, number + 1) if number % n == 0))


def is_small(shape):
    return math.prod(shape) <= MOST_ELEMENTS


def several(draw):
    """A number of channels, seldom so few that nothing can go."""
    return pick(draw, 4, 3, 6, 5, 2, 1)


@keras.saving.register_keras_serializable(package="tests")
class Unheard(layers.Layer):
    """A layer nobody told the package about; it mixes channels and has a weight for each."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, inputs):
        return ops.flip(inputs * self.scale, axis=-1)

    def compute_output_shape(self, shape):
        return shape


# Op nodes, for any rank


def arithmetic(draw, shape):
    return pick(
        draw,
        lambda x: x * 2.0 - 0.5,
        lambda x: 1.0 - x / 3.0,
        lambda x: x * ops.relu6(x + 3.0) * (1.0 / 6.0),
        lambda x: ops.tanh(x) + ops.square(ops.sigmoid(x)),
        lambda x: ops.clip(x, -1.0, 1.0),
        lambda x: x - ops.mean(x, axis=1, keepdims=True) if len(shape) > 1 else ops.negative(x),
    )


def channel_slices(draw, shape):
    width = shape[-1]
    parts = divisor(draw, width)
    cut = count(draw, 1, width - 1) if width > 1 else 1
    return pick(
        draw,
        lambda x: x[..., cut - 1 :],
        lambda x: x[..., :cut],
        lambda x: ops.concatenate(ops.split(x, parts, axis=-1)[::-1], axis=-1),
        lambda x: ops.split(x, [cut], axis=-1)[0],
        lambda x: layers.Concatenate()([x[..., cut:], x[..., :cut]]) if cut < width else x,
    )


def channel_moves(draw, shape):
    rank, width = len(shape) + 1, shape[-1]
    groups = divisor(draw, width)

    def shuffled(x):
        x = ops.reshape(x, (-1, *shape[:-1], groups, width // groups))
        x = ops.swapaxes(x, rank - 1, rank)
        return ops.reshape(x, (-1, *shape))

    options = [
        lambda x: ops.flip(x, axis=-1),
        shuffled,
        layers.Permute(tuple(draw(st.permutations(range(1, rank))))),
    ]
    if is_small(shape):
        options += [
            lambda x: ops.repeat(x, 2, axis=-1),
            lambda x: ops.tile(x, (1,) * (rank - 1) + (2,)),
            lambda x: layers.Concatenate()([x, x]),
        ]
    return pick(draw, *options)


def position_moves(draw, shape):
    last = len(shape)  # the channel axis
    axis = count(draw, 1, last - 1)
    start = count(draw, 0, shape[axis - 1] - 1)
    key = (slice(None),) * axis + (slice(start, None, count(draw, 1, 2)),)
    return pick(
        draw,
        lambda x: x[key],
        lambda x: ops.flip(x, axis=axis),
        lambda x: ops.roll(x, 1, axis=axis),
        lambda x: ops.swapaxes(x, 1, last - 1),
        lambda x: ops.squeeze(ops.expand_dims(x, axis), axis),
        lambda x: ops.mean(x, axis=axis, keepdims=True),
        lambda x: layers.Concatenate(axis=axis)([x, ops.negative(x)])[key],
    )


# What no rule covers, or a rule refuses


def unknown(draw, shape):
    """Something through which the package cannot follow channels."""
    factors = np.linspace(0.5, 1.5, shape[-1], dtype="float32")
    options = [
        Unheard,
        lambda: layers.Lambda(lambda x: x[..., ::-1]),
        lambda: lambda x: x * factors,
        lambda: lambda x: ops.softmax(x, axis=-1),
        lambda: lambda x: ops.cumsum(x, axis=-1),
        lambda: lambda x: x - ops.max(x, axis=-1, keepdims=True),
        lambda: lambda x: x[..., ::2],
        lambda: layers.Rescaling([0.5] * shape[-1]),
        lambda: layers.LayerNormalization(rms_scaling=True),
    ]
    if len(shape) > 1:
        options += [
            lambda: layers.BatchNormalization(axis=1),
            lambda: layers.TimeDistributed(Unheard()),
        ]
    return pick(draw, *options)()
