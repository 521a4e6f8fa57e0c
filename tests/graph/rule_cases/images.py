"""Cases of layers that image models have."""

from keras import layers, ops

from rule_cases.building import chain, sequence


def _channels_first(*middle, first=None):
    return chain(
        *middle,
        shape=(3, 6, 5),
        first=first or layers.Conv2D(6, 1, data_format="channels_first", name="made"),
    )


def _resnext_block(x):
    y = layers.Conv2D(8, 1, name="expand")(x)
    y = layers.Conv2D(8, 3, padding="same", groups=4, name="grouped")(y)
    return layers.Add()([x, layers.Conv2D(6, 1)(y)])


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


def _tensorflow_relu():
    import tensorflow as tf

    return tf.nn.relu


ELEMENTWISE = {
    "activations": lambda: chain(
        layers.Activation("relu"),
        layers.Activation("silu"),
        layers.ReLU(6.0),
        layers.LeakyReLU(),
        layers.ELU(),
    ),
    "activation_of_ops": lambda: chain(
        layers.Conv2D(4, 1, activation=ops.tanh),
        layers.TimeDistributed(layers.Dense(5, activation=ops.erf)),
        first=layers.Conv2D(6, 3, name="made", activation=ops.gelu),
    ),
    "activation_of_tensorflow": lambda: chain(
        layers.Conv2D(4, 1), first=layers.Conv2D(6, 3, name="made", activation=_tensorflow_relu())
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
