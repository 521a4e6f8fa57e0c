"""Cases that are kept whole, each with a part of the reason."""

import keras
import networks
import numpy as np
from keras import layers, ops

from rule_cases.building import (
    SEQUENCE,
    branches,
    chain,
    closed,
    open_channels_first,
    sequence,
    with_constant,
)


def _with_lora(dense):
    def block(x):
        y = dense(x)
        dense.enable_lora(2)
        return y

    return block


def _stateful():
    inputs = keras.Input(batch_shape=(3, *SEQUENCE))
    return closed(inputs, layers.LSTM(6, name="made", stateful=True)(inputs))


def _quantised():
    inputs = keras.Input((5,))
    made = layers.Dense(6, name="made")
    model = networks.unsettled(keras.Model(inputs, layers.Dense(3)(layers.Dense(4)(made(inputs)))))
    made.quantize("int8")
    return model


def _attention_with_lora():
    attention = layers.MultiHeadAttention(2, 3, name="made")
    model = chain(lambda x: attention(x, x), shape=SEQUENCE, first=layers.Dense(6))
    attention.query_dense.enable_lora(2)
    return model


def _from_constant_states(layer, states):
    """A recurrent layer that makes the channels, and begins with arrays."""
    return lambda: with_constant(
        lambda x, c: layer()(layers.Dense(5)(x), initial_state=[c] * states), 3, 6, name="before"
    )


class Flipping(layers.Layer):
    """A layer nobody told the package about; it mixes channels."""

    def call(self, inputs):
        return ops.flip(inputs, axis=-1)


def _shared_at_odds():
    """One normalisation of two tensors whose channels run along different axes."""
    inputs = keras.Input((4, 6))
    shared = layers.LayerNormalization(axis=[1, 2])
    one = layers.Dense(6, name="made")(inputs)
    two = layers.Permute((2, 1))(layers.Dense(4)(layers.Permute((2, 1))(inputs)))
    flat = [layers.Flatten()(shared(one)), layers.Flatten()(shared(two))]
    return closed(inputs, layers.Concatenate()(flat))


EACH = "a constant for each channel"

KEPT = {
    "unknown_layer": (lambda: chain(Flipping()), "no rule for Flipping"),
    "lambda": (lambda: chain(layers.Lambda(lambda x: ops.flip(x, axis=-1))), "no rule for Lambda"),
    "softmax_layer": (lambda: chain(layers.Softmax()), "Softmax mixes channels"),
    "softmax": (lambda: chain(layers.Activation("softmax")), "softmax may mix channels"),
    "softmax_operation": (lambda: chain(ops.softmax), "Softmax mixes channels"),
    "own_activation": (
        lambda: chain(layers.Activation(lambda x: x - ops.max(x, -1, keepdims=True))),
        "may mix channels",
    ),
    "inner_activation": (
        lambda: chain(first=layers.Conv2D(6, 3, name="made", activation="softmax")),
        "activation softmax may mix channels",
    ),
    "normalised_rows": (
        lambda: chain(layers.BatchNormalization(axis=1)),
        "axis that is not its input's channels'",
    ),
    "rescaled_each": (lambda: chain(layers.Rescaling([1.0] * 6)), "a value for each channel"),
    "constant_each": (lambda: chain(lambda x: x * np.arange(6, dtype="float32")), EACH),
    "constant_where": (
        lambda: chain(lambda x: ops.where(x > 0.0, x, np.ones((5, 6), "float32"))),
        EACH,
    ),
    "position_table": (
        lambda: with_constant(lambda x, c: layers.Add()([x, c]), 1, 7, 6, examples=None),
        f"add: {EACH}",
    ),
    "multiplied_by_a_vector": (
        lambda: with_constant(lambda x, c: layers.Multiply()([x, c]), 3, 6),
        EACH,
    ),
    "class_token": (
        lambda: with_constant(lambda x, c: ops.concatenate([c, x], axis=1), 3, 1, 6),
        f"concatenate: {EACH}",
    ),
    "stacked_constant": (
        lambda: with_constant(lambda x, c: ops.stack([x, c], axis=1), 3, 7, 6),
        f"stack: {EACH}",
    ),
    "attention_to_constants": (
        lambda: with_constant(lambda x, c: layers.Attention()([x, c]), 3, 5, 6),
        EACH,
    ),
    "dot_with_a_constant": (
        lambda: with_constant(lambda x, c: layers.Dot(axes=2)([x, c]), 3, 5, 6),
        EACH,
    ),
    "lstm_from_constants": (
        _from_constant_states(lambda: layers.LSTM(6, name="made"), 2),
        f"made: {EACH}",
    ),
    "gru_from_constants": (
        _from_constant_states(lambda: layers.GRU(6, name="made"), 1),
        f"made: {EACH}",
    ),
    "mask_each": (
        lambda: sequence(
            lambda x: layers.Softmax(axis=1)(x, mask=np.arange(42).reshape(1, 7, 6) % 5 > 0)
        ),
        "a mask for each channel",
    ),
    "mean_of_channels": (lambda: chain(lambda x: ops.mean(x, axis=-1)), "Mean over channels"),
    "max_of_all": (
        lambda: chain(lambda x: x - ops.max(x, axis=(1, 2, 3), keepdims=True)),
        "Max over channels",
    ),
    "map_for_a_fixed_tensor": (
        lambda: branches(
            lambda a, b: layers.Multiply()([a, b]),
            first=layers.Conv2D(1, 3, padding="same", name="made"),
            second=layers.Identity(),
        ),
        "Multiply broadcasts it over channels",
    ),
    "every_other_channel": (lambda: chain(lambda x: x[..., ::2]), "every so many channels"),
    "one_channel": (lambda: chain(lambda x: x[..., 3]), "picks a channel by its number"),
    "roll_channels": (lambda: chain(lambda x: ops.roll(x, 1, axis=-1)), "Roll along the channels"),
    "matrix_product": (
        lambda: sequence(lambda x: x @ ops.transpose(x, (0, 2, 1))),
        "no rule for Matmul",
    ),
    "outer_product": (
        lambda: sequence(lambda x: layers.Dot(axes=1)([x, layers.Dense(4)(x)])),
        "Dot along an axis that is not its input's channels'",
    ),
    "scrambled_open_size": (
        lambda: chain(
            layers.Reshape((6, -1)),
            layers.Permute((2, 1)),
            layers.GlobalMaxPooling1D(),
            shape=(None, 4, 3),
        ),
        "Reshape of examples or positions of unknown number",
    ),
    "shared_at_odds": (_shared_at_odds, "a shared layer whose calls treat channels differently"),
    "masking": (lambda: sequence(layers.Masking()), "no rule for Masking"),
    "stateful": (_stateful, "stateful LSTM"),
    "limits_each": (
        lambda: chain(lambda x: ops.clip(x, -np.ones(6, "float32"), 1.0)),
        EACH,
    ),
    "open_rows_joined": (
        lambda: open_channels_first(lambda x: ops.reshape(x, (-1, 6))),
        "positions of unknown number",
    ),
    "halves_of_a_batch": (
        lambda: sequence(lambda x: ops.split(ops.concatenate([x, x], axis=0), 2, axis=0)[1]),
        "of examples or positions of unknown number",
    ),
    "quantised": (_quantised, "quantised"),
    "lora_inside": (_attention_with_lora, "LoRA"),
    "lora": (lambda: chain(_with_lora(layers.Dense(6, name="lora"))), "LoRA"),
}
