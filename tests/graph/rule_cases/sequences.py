"""Cases of dense, recurrent and attention layers."""

import keras
from keras import layers

from rule_cases.building import SEQUENCE, chain, closed, sequence, with_constant


def _attention_block(attention):
    def block(x):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, attention(y, y)])
        y = layers.Dense(9, activation="gelu", name="wide")(layers.LayerNormalization()(x))
        return layers.Add()([x, layers.Dense(6)(y)])

    return sequence(block)


def _encoder_decoder(kind, states):
    inputs = keras.Input(SEQUENCE)
    _, *last = kind(6, return_state=True, name="made")(inputs)
    assert len(last) == states
    x = kind(6, return_sequences=True, name="decoder")(inputs, initial_state=last)
    return closed(inputs, x)


def _embedded(*middle, mask_zero=False):
    inputs = keras.Input((7,), dtype="int32")
    x = layers.Embedding(11, 6, mask_zero=mask_zero, name="made")(inputs)
    for layer in middle:
        x = layer(x)
    return closed(inputs, x)


def _two_embeddings(*middle, mask_zero=(True, True)):
    """Two embeddings side by side; the mask of what is joined is computed of them."""
    tokens = [keras.Input((7,), dtype="int32", name=name) for name in ("words", "tags")]
    sizes = zip(tokens, ("made", "other"), (6, 4), mask_zero, strict=True)
    x = layers.Concatenate()(
        [layers.Embedding(11, size, mask_zero=m, name=n)(t) for t, n, size, m in sizes]
    )
    for layer in middle:
        x = layer(x)
    return closed(tokens, x)


def _bidirectional_from(kind, states):
    """States for both directions, some made of the input."""
    inputs = keras.Input(SEQUENCE)
    summary = layers.GlobalMaxPooling1D()(inputs)
    made = [layers.Dense(6, name=name)(summary) for name in ("made", "other")]
    x = layers.Bidirectional(kind(6))(inputs, initial_state=(made * states)[: 2 * states])
    return closed(inputs, layers.Dense(4)(x))


DENSE = {
    "flatten": lambda: chain(layers.Flatten(), layers.Dense(7)),
    "flatten_normalised": lambda: chain(layers.Flatten(), layers.BatchNormalization()),
    "on_maps": lambda: chain(layers.Dense(7, activation="relu")),
    "einsum": lambda: sequence(
        layers.EinsumDense("abc,cd->abd", output_shape=(7, 5), bias_axes="d"), layers.Dense(4)
    ),
    "einsum_ellipsis": lambda: chain(
        layers.EinsumDense("...x,xy->...y", output_shape=5, bias_axes="y", activation="relu")
    ),
    "einsum_heads": lambda: sequence(
        layers.EinsumDense("abc,cde->abde", output_shape=(7, 2, 5), bias_axes="de")
    ),
    "einsum_carried": lambda: sequence(
        layers.EinsumDense("abc,bd->adc", output_shape=(5, 6), bias_axes="dc"), layers.Dense(2)
    ),
    "einsum_each": lambda: sequence(
        layers.EinsumDense("abc,cd->acbd", output_shape=(6, 7, 4), bias_axes="cd")
    ),
    "embedding": lambda: _embedded(layers.Dense(4)),
    "embedding_masked": lambda: _embedded(layers.LSTM(4), mask_zero=True),
    "embedding_masked_normalised": lambda: _embedded(
        layers.LayerNormalization(),
        lambda x: layers.MultiHeadAttention(2, 3, use_bias=False)(x, x),
        mask_zero=True,
    ),
    "embeddings_masked": lambda: _two_embeddings(layers.LSTM(4)),
    "embeddings_half_masked": lambda: _two_embeddings(
        layers.Dense(5), layers.GRU(4), mask_zero=(True, False)
    ),
}


RECURRENT = {
    "rnn": lambda: sequence(layers.SimpleRNN(5, name="rnn"), layers.Dense(4)),
    "lstm": lambda: sequence(layers.LSTM(5, return_sequences=True, use_bias=False), layers.LSTM(4)),
    "gru": lambda: sequence(layers.GRU(5, return_sequences=True), layers.GRU(4, reset_after=False)),
    "lstm_made": lambda: chain(
        layers.Dense(4), shape=SEQUENCE, first=layers.LSTM(6, name="made", go_backwards=True)
    ),
    "gru_made": lambda: chain(layers.Dense(4), shape=SEQUENCE, first=layers.GRU(6, name="made")),
    "encoder_decoder_lstm": lambda: _encoder_decoder(layers.LSTM, 2),
    "encoder_decoder_gru": lambda: _encoder_decoder(layers.GRU, 1),
    "bidirectional": lambda: sequence(layers.Bidirectional(layers.LSTM(5)), layers.Dense(4)),
    "bidirectional_sum": lambda: sequence(
        layers.Bidirectional(layers.GRU(5, return_sequences=True), merge_mode="sum"),
        layers.Dense(4),
    ),
    "bidirectional_apart": lambda: sequence(
        lambda x: layers.Add()(layers.Bidirectional(layers.SimpleRNN(5), merge_mode=None)(x))
    ),
    "bidirectional_from_states": lambda: _bidirectional_from(layers.LSTM, 2),
    "bidirectional_from_one_state": lambda: _bidirectional_from(layers.GRU, 1),
    "time_distributed": lambda: chain(
        layers.TimeDistributed(layers.Conv2D(4, 3, activation="relu", name="inner")),
        layers.TimeDistributed(layers.GlobalAveragePooling2D()),
        layers.LSTM(4),
        shape=(2, 5, 5, 3),
        first=layers.TimeDistributed(layers.Conv2D(6, 3), name="made"),
    ),
    "time_distributed_flatten": lambda: chain(
        layers.TimeDistributed(layers.Flatten()),
        layers.LSTM(4),
        shape=(2, 3, 3, 3),
        first=layers.TimeDistributed(layers.Conv2D(6, 3), name="made"),
    ),
    "time_distributed_bidirectional": lambda: chain(
        layers.TimeDistributed(layers.Bidirectional(layers.GRU(4))),
        shape=(2, 5, 3),
        first=layers.TimeDistributed(layers.Dense(6), name="made"),
    ),
    "time_distributed_rnn": lambda: chain(
        layers.TimeDistributed(layers.GRU(4)),
        shape=(2, 5, 3),
        first=layers.TimeDistributed(layers.Dense(6), name="made"),
    ),
}


ATTENTION = {
    "multi_head": lambda: _attention_block(layers.MultiHeadAttention(4, 3, name="heads")),
    "multi_head_wide": lambda: _attention_block(
        layers.MultiHeadAttention(2, 3, value_dim=5, output_shape=6, use_bias=False)
    ),
    "multi_head_dropout": lambda: _attention_block(
        layers.MultiHeadAttention(2, 3, dropout=0.1, name="heads")
    ),
    "multi_head_causal": lambda: sequence(
        lambda x: layers.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True), layers.Dense(4)
    ),
    "multi_head_by_name": lambda: sequence(
        lambda x: layers.MultiHeadAttention(2, 3)(
            query=x, value=layers.Dense(4)(x), key=layers.Dense(5)(x)
        )
    ),
    "multi_head_masked": lambda: _embedded(
        lambda x: layers.MultiHeadAttention(2, 3)(x, x), mask_zero=True
    ),
    "multi_head_constant_queries": lambda: with_constant(
        lambda x, c: layers.MultiHeadAttention(2, 3)(c, x), 3, 5, 6
    ),
    "grouped_query": lambda: _attention_block(layers.GroupQueryAttention(3, 4, 2, name="heads")),
}
