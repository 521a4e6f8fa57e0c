"""Small models, one for each thing a layer rule must get right: `CUT` and `KEPT`.

In every model of `CUT` the group "made" is prunable, and in every model of `KEPT` it is not; a
case of `KEPT` comes with a part of the reason.
"""

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


def _channels_first(*middle, first=None):
    return chain(
        *middle,
        shape=(3, 6, 5),
        first=first or layers.Conv2D(6, 1, data_format="channels_first", name="made"),
    )


def _squeeze_and_excite(squeezed):
    def block(x):
        s = squeezed(x)
        s = layers.Dense(2, activation="relu", name="squeeze")(s)
        s = layers.Dense(6, activation="sigmoid", name="excite")(s)
        s = layers.Reshape((1, 1, 6))(s)
        return layers.Multiply()([x, s])

    return chain(block, layers.Conv2D(4, 1))


def _channel_shuffle(x):
    x = ops.reshape(x, (-1, 6, 5, 2, 3))
    x = ops.transpose(x, (0, 1, 2, 4, 3))
    return ops.reshape(x, (-1, 6, 5, 6))


def _resnext_block(x):
    y = layers.Conv2D(8, 1, name="expand")(x)
    y = layers.Conv2D(8, 3, padding="same", groups=4, name="grouped")(y)
    return layers.Add()([x, layers.Conv2D(6, 1)(y)])


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


def _siamese():
    one, two = keras.Input(IMAGE, name="one"), keras.Input(IMAGE, name="two")
    tower = keras.Sequential(
        [keras.Input(IMAGE), layers.Conv2D(6, 3, name="made"), layers.GlobalAveragePooling2D()]
    )
    distance = layers.Subtract()([tower(one), tower(two)])
    outputs = [layers.Dense(2, name="first")(distance), layers.Dense(3, name="second")(tower(one))]
    return networks.unsettled(keras.Model({"one": one, "two": two}, outputs))


def _transfer():
    base = keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.Conv2D(6, 3, name="made"),
            keras.Sequential([layers.BatchNormalization(), layers.Conv2D(4, 1)]),
        ]
    )
    inputs = keras.Input(IMAGE)
    return closed(inputs, layers.Dropout(0.5)(base(inputs * 2.0, training=False)))


def _with_lora(dense):
    def block(x):
        y = dense(x)
        dense.enable_lora(2)
        return y

    return block


def _stateful():
    inputs = keras.Input(batch_shape=(3, *SEQUENCE))
    return closed(inputs, layers.LSTM(6, name="made", stateful=True)(inputs))


def _two_couplings():
    """One convolution first after a plain tensor, then after the same concatenated with itself."""
    inputs = keras.Input(IMAGE)
    shared = layers.Conv2D(6, 1, name="shared")
    part = layers.Conv2D(3, 3, padding="same", name="made")(inputs)
    other = layers.Conv2D(6, 3, padding="same", name="other")(inputs)
    return closed(inputs, layers.Add()([shared(layers.Concatenate()([part, part])), shared(other)]))


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


def _open_channels_first(*middle):
    inputs = keras.Input((3, None))
    x = layers.Conv1D(6, 1, data_format="channels_first", name="made")(inputs)
    for layer in middle:
        x = layer(x)
    return networks.unsettled(keras.Model(inputs, layers.Dense(3, name="head")(x)))


def _shared_normalization():
    """One LayerNormalization over sequences and over vectors."""
    inputs = keras.Input(SEQUENCE)
    norm = layers.LayerNormalization()
    x = norm(layers.Dense(6, name="made")(inputs))
    y = norm(layers.Dense(6)(layers.GlobalMaxPooling1D()(x)))
    return networks.unsettled(keras.Model(inputs, [layers.Dense(3)(x), layers.Dense(2)(y)]))


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


def _shared_reshape():
    inputs = keras.Input(SEQUENCE)
    reshape = layers.Reshape((7, 1, 6))
    one, two = layers.Dense(6, name="made")(inputs), layers.Dense(6, name="other")(inputs)
    return closed(inputs, layers.Conv2D(2, 1)(layers.Concatenate()([reshape(one), reshape(two)])))


CONVOLUTIONS = {
    "strided": lambda: chain(layers.Conv2D(5, 3, strides=2, dilation_rate=1)),
    "one_filter": lambda: chain(layers.Conv2D(1, 3), layers.Conv2D(4, 1)),
    "valid_no_bias": lambda: chain(layers.Conv2D(5, (3, 1), use_bias=False)),
    "one_dimension": lambda: chain(
        layers.MaxPooling1D(2),
        layers.ZeroPadding1D(1),
        layers.UpSampling1D(2),
        layers.Cropping1D(1),
        layers.GlobalAveragePooling1D(),
        shape=(12, 3),
        first=layers.Conv1D(6, 3, name="made"),
    ),
    "three_dimensions": lambda: chain(
        layers.AveragePooling3D(2),
        layers.UpSampling3D(2),
        layers.Cropping3D(1),
        layers.ZeroPadding3D(1),
        shape=(6, 6, 6, 2),
        first=layers.Conv3D(6, 3, name="made"),
    ),
    "transposed_1d": lambda: chain(
        layers.Conv1DTranspose(5, 3, strides=2, name="up"),
        layers.Conv1D(4, 1),
        shape=(7, 3),
        first=layers.Conv1D(6, 3, name="made"),
    ),
    "transposed_2d": lambda: chain(
        layers.Conv2DTranspose(5, 3, padding="same", strides=2), layers.Conv2D(4, 1)
    ),
    "transposed_3d": lambda: chain(
        layers.Conv3DTranspose(4, 2, use_bias=False),
        shape=(4, 4, 4, 2),
        first=layers.Conv3D(6, 3, name="made"),
    ),
    "depthwise": lambda: chain(layers.DepthwiseConv2D(3), layers.Conv2D(4, 1)),
    "depthwise_multiplier": lambda: chain(
        layers.DepthwiseConv2D(3, depth_multiplier=2), layers.Conv2D(4, 1)
    ),
    "depthwise_1d": lambda: sequence(
        layers.DepthwiseConv1D(3, depth_multiplier=2), layers.Conv1D(4, 1)
    ),
    "separable": lambda: chain(layers.SeparableConv2D(5, 3, depth_multiplier=2)),
    "separable_activation": lambda: chain(layers.SeparableConv2D(5, 3, activation="relu")),
    "separable_1d": lambda: sequence(layers.SeparableConv1D(5, 3), layers.Conv1D(4, 1)),
    "grouped": lambda: chain(layers.Conv2D(4, 3, groups=2, name="grouped"), layers.Conv2D(4, 1)),
    "grouped_1d": lambda: sequence(layers.Conv1D(6, 3, groups=3), layers.Conv1D(4, 1)),
    "grouped_block": lambda: chain(_resnext_block),
    "grouped_depthwise": lambda: chain(layers.Conv2D(6, 3, groups=6), layers.Conv2D(4, 1)),
    "of_one_channel": lambda: chain(shape=(6, 5, 1)),
    "grouped_depthwise_multiplier": lambda: chain(
        layers.Conv2D(12, 3, groups=6, name="grouped"), layers.Conv2D(4, 1)
    ),
}

CHANNELS_FIRST = {
    "first_pointwise": lambda: _channels_first(
        layers.BatchNormalization(axis=1),
        layers.ReLU(),
        layers.Conv2D(4, 1, data_format="channels_first"),
    ),
    "first_global_pooling": lambda: _channels_first(
        layers.GlobalAveragePooling2D(data_format="channels_first", keepdims=True),
        layers.Conv2D(4, 1, data_format="channels_first"),
    ),
    "first_flatten": lambda: _channels_first(
        layers.Flatten(data_format="channels_first"), layers.Dense(4)
    ),
    "first_then_last": lambda: _channels_first(layers.Permute((2, 3, 1)), layers.Conv2D(4, 3)),
    "last_after_input_permuted": lambda: chain(
        layers.Conv2D(6, 3, name="made"),
        layers.Conv2D(2, 1),
        shape=(3, 6, 5),
        first=layers.Permute((2, 3, 1)),
    ),
}

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
}

ELEMENTWISE = {
    "activations": lambda: chain(
        layers.Activation("relu"),
        layers.Activation("silu"),
        layers.ReLU(6.0),
        layers.LeakyReLU(),
        layers.ELU(),
    ),
    "softmax_of_positions": lambda: chain(layers.Softmax(axis=(1, 2)), layers.Conv2D(4, 1)),
    "prelu": lambda: chain(layers.PReLU(), layers.Conv2D(4, 1)),
    "prelu_shared": lambda: chain(layers.PReLU(shared_axes=[1, 2]), layers.Conv2D(4, 1)),
    "prelu_one_slope": lambda: chain(layers.PReLU(shared_axes=[1, 2, 3]), layers.Conv2D(4, 1)),
    "dropouts": lambda: chain(
        layers.Dropout(0.5), layers.SpatialDropout2D(0.5), layers.GaussianNoise(0.1)
    ),
    "rescaling": lambda: chain(layers.Rescaling(0.5, offset=1.0), layers.Conv2D(4, 3)),
}

NORMALIZATIONS = {
    "batch": lambda: chain(layers.BatchNormalization(), layers.ReLU()),
    "batch_plain": lambda: chain(layers.BatchNormalization(scale=False, center=False)),
    "layer": lambda: chain(layers.LayerNormalization(), layers.Conv2D(4, 1)),
    "layer_plain": lambda: sequence(
        layers.LayerNormalization(center=False, scale=False), layers.Dense(4)
    ),
    "layer_all_axes": lambda: chain(layers.LayerNormalization(axis=[1, 2, 3])),
    "layer_of_positions": lambda: chain(layers.LayerNormalization(axis=1), layers.Conv2D(4, 1)),
    "layer_twice": lambda: sequence(layers.LayerNormalization(), layers.LayerNormalization()),
    "group": lambda: chain(layers.GroupNormalization(3), layers.Conv2D(4, 1)),
    "group_instance": lambda: chain(layers.GroupNormalization(-1), layers.Conv2D(4, 1)),
    "group_one": lambda: chain(layers.GroupNormalization(1, scale=False), layers.Conv2D(4, 1)),
    "group_first": lambda: _channels_first(layers.GroupNormalization(2, axis=1)),
    "rms": lambda: sequence(layers.RMSNormalization(), layers.Dense(4)),
    "unit": lambda: chain(layers.UnitNormalization(), layers.Conv2D(4, 1)),
    "unit_of_all": lambda: chain(layers.UnitNormalization(axis=[1, 2, 3]), layers.Conv2D(4, 1)),
}

SPATIAL = {
    "max_pooling": lambda: chain(layers.MaxPooling2D(), layers.Conv2D(4, 2)),
    "average_pooling": lambda: chain(
        layers.AveragePooling2D(3, padding="same"), layers.Conv2D(4, 2)
    ),
    "global_max": lambda: chain(layers.GlobalMaxPooling2D()),
    "global_average_keepdims": lambda: chain(
        layers.GlobalAveragePooling2D(keepdims=True), layers.Conv2D(4, 1)
    ),
    "padding_cropping": lambda: chain(
        layers.ZeroPadding2D(2), layers.Cropping2D(((1, 0), (0, 1))), layers.Conv2D(4, 3)
    ),
    "up_sampling": lambda: chain(
        layers.UpSampling2D(2, interpolation="bilinear"), layers.Conv2D(4, 3)
    ),
    "resizing": lambda: chain(layers.Resizing(4, 4), layers.Conv2D(4, 3)),
    "center_crop": lambda: chain(layers.CenterCrop(4, 4), layers.Conv2D(4, 3)),
}

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
    "depth_to_space": lambda: chain(
        lambda x: ops.nn.depth_to_space(x, 2),
        layers.Conv2D(4, 1),
        first=layers.Conv2D(12, 3, name="made"),
    ),
    "windows": lambda: chain(_windows, layers.Dense(4), shape=(6, 6, 3)),
    "detection_head": _detection_head,
    "fixed_batch": _fixed_batch,
    "open_channels_first": lambda: _open_channels_first(
        layers.Reshape((6, -1)), layers.Permute((2, 1))
    ),
    "batch_and_positions": lambda: chain(
        lambda x: ops.reshape(layers.Dense(5)(ops.reshape(x, (-1, 6))), (-1, 6, 5, 5))
    ),
}

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
    "where": lambda: branches(lambda a, b: ops.where(a > 0.1, a, b)),
    "concatenate_operation": lambda: branches(lambda a, b: ops.concatenate([a, b], axis=-1)),
    "mean_of_positions": lambda: chain(lambda x: ops.mean(x, axis=[1, 2])),
    "mean_keepdims": lambda: chain(lambda x: x - ops.mean(x, axis=(1, 2), keepdims=True)),
    "max_of_rows": lambda: chain(lambda x: ops.max(x, axis=1), layers.Dense(4)),
    "sum_of_channels": lambda: chain(lambda x: ops.sum(x, axis=-1, keepdims=True)),
    "hand_made_silu": lambda: chain(
        lambda x: x * ops.relu6(x + 3.0) * (1.0 / 6.0), layers.Conv2D(4, 1)
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
    "grouped_query": lambda: _attention_block(layers.GroupQueryAttention(3, 4, 2, name="heads")),
}

WHOLE_MODELS = {
    "siamese": _siamese,
    "transfer_learning": _transfer,
    "shared_couples_places": _two_couplings,
    "shared_reshape": _shared_reshape,
    "open_steps": lambda: chain(
        lambda x: x[:, 1:],
        lambda x: ops.transpose(x, (0, 2, 1)),
        layers.GlobalMaxPooling1D(data_format="channels_first"),
        shape=(None, 3),
        first=layers.Conv1D(6, 3, name="made"),
    ),
    "shared_normalization": _shared_normalization,
    "open_size": lambda: networks.unsettled(
        keras.Sequential(
            [
                keras.Input((None, None, 3)),
                layers.Conv2D(6, 3, name="made"),
                layers.Reshape((-1, 6)),
                layers.GlobalAveragePooling1D(),
                layers.Dense(3),
            ]
        )
    ),
}

CUT = {
    **CONVOLUTIONS,
    **CHANNELS_FIRST,
    **DENSE,
    **ELEMENTWISE,
    **{f"{name}_normalization": build for name, build in NORMALIZATIONS.items()},
    **SPATIAL,
    **MERGES,
    **REARRANGEMENTS,
    **OPERATIONS,
    **RECURRENT,
    **ATTENTION,
    **WHOLE_MODELS,
}


class Flipping(layers.Layer):
    """A layer nobody told the package about; it mixes channels."""

    def call(self, inputs):
        return ops.flip(inputs, axis=-1)


KEPT = {
    "unknown_layer": (lambda: chain(Flipping()), "no rule for Flipping"),
    "lambda": (lambda: chain(layers.Lambda(lambda x: x[..., ::-1])), "no rule for Lambda"),
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
    "constant_each": (
        lambda: chain(lambda x: x * np.arange(6, dtype="float32")),
        "a constant for each channel",
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
    "masking": (lambda: sequence(layers.Masking()), "no rule for Masking"),
    "stateful": (_stateful, "stateful LSTM"),
    "limits_each": (
        lambda: chain(lambda x: ops.clip(x, -np.ones(6, "float32"), 1.0)),
        "a constant for each channel",
    ),
    "open_rows_joined": (
        lambda: _open_channels_first(lambda x: ops.reshape(x, (-1, 6))),
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
