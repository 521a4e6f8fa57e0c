"""Cases of merges, rearrangements and op nodes."""

import keras
import numpy as np
from keras import layers, ops

from rule_cases.building import (
    IMAGE,
    SEQUENCE,
    branches,
    chain,
    closed,
    open_channels_first,
    sequence,
    with_constant,
)


def _squeeze_and_excite(squeezed, shape=(1, 1, 6)):
    def block(x):
        s = squeezed(x)
        s = layers.Dense(2, activation="relu", name="squeeze")(s)
        s = layers.Dense(6, activation="sigmoid", name="excite")(s)
        return layers.Multiply()([x, layers.Reshape(shape)(s) if shape else s])

    return chain(block, layers.Conv2D(4, 1))


def _channel_shuffle(x):
    x = ops.reshape(x, (-1, 6, 5, 2, 3))
    x = ops.transpose(x, (0, 1, 2, 4, 3))
    return ops.reshape(x, (-1, 6, 5, 6))


def _windows(x):
    """Attention within windows, as a Swin transformer has it: they are examples for a while."""
    y = ops.reshape(ops.roll(x, (1, 1), axis=(1, 2)), (-1, 2, 3, 2, 3, 6))
    y = ops.reshape(ops.transpose(y, (0, 1, 3, 2, 4, 5)), (-1, 9, 6))
    y = layers.MultiHeadAttention(2, 3)(y, y)
    y = ops.transpose(ops.reshape(y, (-1, 2, 2, 3, 3, 6)), (0, 1, 3, 2, 4, 5))
    return layers.Add()([x, ops.reshape(y, (-1, 6, 6, 6))])


def _detection_head():
    """One head over two levels of a pyramid, its anchors side by side."""
    inputs = keras.Input(IMAGE)
    fine = layers.Conv2D(4, 3, padding="same")(inputs)
    coarse = layers.Conv2D(4, 3, strides=2, padding="same")(fine)
    head = layers.Conv2D(6, 1, name="made")
    boxes = [layers.Reshape((-1, 3))(head(level)) for level in (fine, coarse)]
    return closed(inputs, layers.Dense(5)(layers.Concatenate(axis=1)(boxes)))


def _fixed_batch():
    inputs = keras.Input(batch_shape=(4, *SEQUENCE))
    x = layers.Dense(6, name="made")(inputs)
    return closed(inputs, layers.Dense(4)(ops.reshape(x, (4, -1))))


MERGES = {
    "add": lambda: branches(lambda a, b: layers.Add()([a, b])),
    "subtract": lambda: branches(lambda a, b: layers.Subtract()([a, b])),
    "multiply": lambda: branches(lambda a, b: layers.Multiply()([a, b])),
    "average": lambda: branches(lambda a, b: layers.Average()([a, b])),
    "maximum": lambda: branches(lambda a, b: layers.Maximum()([a, b])),
    "minimum": lambda: branches(lambda a, b: layers.Minimum()([a, b])),
    "multiply_by_a_map": lambda: branches(
        lambda a, b: layers.Multiply()([a, b]), second=layers.Conv2D(1, 1, name="other")
    ),
    "squeeze_and_excite": lambda: _squeeze_and_excite(layers.GlobalAveragePooling2D()),
    "squeeze_by_mean": lambda: _squeeze_and_excite(lambda x: ops.mean(x, axis=(1, 2))),
    # Keras puts in the axes that are missing, after the examples'.
    "squeeze_without_reshape": lambda: _squeeze_and_excite(layers.GlobalMaxPooling2D(), None),
    "add_of_rows": lambda: chain(
        lambda x: layers.Add()([ops.mean(x, axis=1), x, layers.GlobalMaxPooling2D()(x)])
    ),
    "maximum_with_a_constant": lambda: with_constant(
        lambda x, c: layers.Maximum()([x, c]), 3, 7, 1
    ),
    "multiply_by_a_vector": lambda: with_constant(lambda x, c: layers.Multiply()([x, c]), 3, 1),
    "concatenate_a_constant": lambda: with_constant(
        lambda x, c: layers.Concatenate()([x, c]), 3, 7, 2
    ),
    "concatenate": lambda: branches(
        lambda a, b: layers.Concatenate()([a, b]), second=layers.Conv2D(5, 1, name="other")
    ),
    "concatenate_rows": lambda: branches(lambda a, b: layers.Concatenate(axis=1)([a, b])),
    "concatenate_itself": lambda: chain(lambda x: layers.Concatenate()([x, x])),
    "concatenate_nested": lambda: branches(
        lambda a, b: layers.Concatenate()([layers.Concatenate()([a, b]), a])
    ),
    "concatenate_and_add": lambda: branches(
        lambda a, b: layers.Add()([layers.Concatenate()([a, a]), b]),
        second=layers.Conv2D(12, 1, name="other"),
    ),
    "concatenate_input": lambda: chain(
        layers.Conv2D(4, 3, name="made", padding="same"), first=lambda x: ops.concatenate([x, x])
    ),
    "dot_of_channels": lambda: branches(
        lambda a, b: layers.Dot(axes=2)([layers.Reshape((30, 6))(a), layers.Reshape((30, 6))(b)])
    ),
    "cosine": lambda: branches(
        lambda a, b: layers.Dot(axes=1, normalize=True)(
            [layers.GlobalMaxPooling2D()(a), layers.GlobalMaxPooling2D()(b)]
        )
    ),
    "attention": lambda: sequence(lambda x: layers.Attention()([x, layers.Dense(6)(x)])),
    "attention_with_key": lambda: sequence(
        lambda x: layers.Attention(use_scale=True)([x, layers.Dense(4)(x), layers.Dense(6)(x)]),
        layers.Dense(4),
    ),
    "additive_attention": lambda: sequence(
        lambda x: layers.AdditiveAttention()([x, layers.Dense(6)(x)])
    ),
    "attention_to_a_constant": lambda: with_constant(
        lambda x, c: layers.Attention()([layers.Dense(5)(x), x, c]), 3, 7, 5
    ),
}


REARRANGEMENTS = {
    "reshape_positions": lambda: chain(layers.Reshape((30, 6)), layers.Dense(4)),
    "reshape_open": lambda: chain(layers.Reshape((-1, 6)), layers.Dense(4)),
    "reshape_to_vector": lambda: chain(layers.Reshape((-1,)), layers.Dense(4)),
    "reshape_splits_channels": lambda: sequence(layers.Reshape((7, 2, 3)), layers.Dense(4)),
    "reshape_joins_rows": lambda: sequence(layers.Reshape((1, 42)), layers.Dense(4)),
    "permute": lambda: chain(layers.Permute((3, 1, 2)), layers.Flatten(), layers.Dense(4)),
    "repeat_vector": lambda: chain(layers.GlobalMaxPooling2D(), layers.RepeatVector(3)),
    "channel_shuffle": lambda: chain(_channel_shuffle, layers.Conv2D(4, 1)),
    "transpose": lambda: chain(lambda x: ops.transpose(x, (0, 2, 1, 3)), layers.Conv2D(4, 1)),
    "expand_and_squeeze": lambda: chain(
        lambda x: ops.squeeze(ops.expand_dims(x, 1), 1), layers.Conv2D(4, 1)
    ),
    "swap_and_move": lambda: chain(
        lambda x: ops.moveaxis(ops.swapaxes(x, 1, 3), 1, -1), layers.Conv2D(4, 1)
    ),
    "flip_channels": lambda: chain(lambda x: ops.flip(x, -1), layers.Conv2D(4, 1)),
    "repeat_channels": lambda: chain(lambda x: ops.repeat(x, 2, axis=-1), layers.Conv2D(4, 1)),
    "tile": lambda: chain(lambda x: ops.tile(x, (1, 1, 2, 2)), layers.Conv2D(4, 1)),
    "stack": lambda: branches(lambda a, b: layers.Conv3D(3, 1)(ops.stack([a, b], axis=1))),
    "unstack": lambda: chain(lambda x: layers.Conv1D(4, 1)(ops.unstack(x, axis=1)[2])),
    "slice_positions": lambda: chain(lambda x: x[:, 1:-1, ::2], layers.Conv2D(4, 1)),
    "slice_channels": lambda: chain(
        lambda x: layers.Concatenate()([x[..., 4:], layers.Conv2D(3, 1)(x[..., :3])])
    ),
    "first_token": lambda: sequence(lambda x: x[:, 0]),
    "new_axis": lambda: sequence(lambda x: x[:, None, ..., 1:], layers.Conv2D(4, 1)),
    "split_channels": lambda: chain(
        lambda x: layers.Concatenate()(ops.split(x, 3, axis=-1)[::-1]), layers.Conv2D(4, 1)
    ),
    "split_in_one": lambda: chain(
        lambda x: layers.Concatenate()(ops.split(x, 1, axis=-1)), layers.Conv2D(4, 1)
    ),
    "split_at": lambda: chain(lambda x: ops.split(x, [2], axis=-1)[1], layers.Conv2D(4, 1)),
    "split_off_nothing": lambda: chain(
        lambda x: ops.split(x, [0], axis=-1)[1], layers.Conv2D(4, 1)
    ),
    "split_rows": lambda: chain(lambda x: ops.split(x, 2, axis=1)[1], layers.Conv2D(4, 1)),
    "roll_rows": lambda: chain(lambda x: ops.roll(x, 1, axis=1), layers.Conv2D(4, 1)),
    "slice_of_one_channel": lambda: chain(
        lambda x: layers.Concatenate()([x[..., 5:], x]), layers.Conv2D(4, 1)
    ),
    "windows": lambda: chain(_windows, layers.Dense(4), shape=(6, 6, 3)),
    "detection_head": _detection_head,
    "fixed_batch": _fixed_batch,
    "open_channels_first": lambda: open_channels_first(
        layers.Reshape((6, -1)), layers.Permute((2, 1))
    ),
    "batch_and_positions": lambda: chain(
        lambda x: ops.reshape(layers.Dense(5)(ops.reshape(x, (-1, 6))), (-1, 6, 5, 5))
    ),
}

if hasattr(ops.nn, "depth_to_space"):  # not in Keras 3.12
    REARRANGEMENTS["depth_to_space"] = lambda: chain(
        lambda x: ops.nn.depth_to_space(x, 2),
        layers.Conv2D(4, 1),
        first=layers.Conv2D(12, 3, name="made"),
    )

OPERATIONS = {
    "scale_and_shift": lambda: chain(lambda x: 1.0 - x * 2.0 / 3.0 + x**2, layers.Conv2D(4, 1)),
    "constant_map": lambda: chain(
        lambda x: x * np.linspace(0, 1, 5, dtype="float32")[:, None], layers.Conv2D(4, 1)
    ),
    "unary": lambda: chain(
        lambda x: ops.exp(ops.tanh(ops.relu(x)) - ops.sigmoid(x)), layers.Conv2D(4, 1)
    ),
    "clip_cast": lambda: chain(
        lambda x: ops.cast(ops.stop_gradient(ops.clip(x, -1, 1)), "float32"), layers.Conv2D(4, 1)
    ),
    "add_operation": lambda: branches(lambda a, b: ops.add(a, b)),
    "erf_and_rsqrt": lambda: chain(
        lambda x: ops.erf(x) - ops.rsqrt(ops.square(x) + 1.0), layers.Conv2D(4, 1)
    ),
    "any_of_channels": lambda: chain(
        lambda x: ops.cast(ops.any(x > 1.5, axis=-1), "float32"), layers.Dense(4)
    ),
    "where": lambda: branches(lambda a, b: ops.where(a > 0.1, a, b)),
    "concatenate_operation": lambda: branches(lambda a, b: ops.concatenate([a, b], axis=-1)),
    "mean_of_positions": lambda: chain(lambda x: ops.mean(x, axis=[1, 2])),
    "mean_keepdims": lambda: chain(lambda x: x - ops.mean(x, axis=(1, 2), keepdims=True)),
    "max_of_rows": lambda: chain(lambda x: ops.max(x, axis=1), layers.Dense(4)),
    "count_of_rows": lambda: chain(
        lambda x: ops.cast(ops.count_nonzero(x, axis=1), "float32"), layers.Dense(4)
    ),
    "sum_of_channels": lambda: chain(lambda x: ops.sum(x, axis=-1, keepdims=True)),
    "hand_made_silu": lambda: chain(
        lambda x: x * ops.relu6(x + 3.0) * (1.0 / 6.0), layers.Conv2D(4, 1)
    ),
}
