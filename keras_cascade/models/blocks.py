"""The pieces the CIFAR networks share: filter and stride scaling, convolution + BatchNorm, decay.

A convolution of this package is a bias-free `Conv2D` followed by `BatchNormalization` and, unless
it ends a residual branch, an activation: three layers named `name`, `name_bn` and `name_relu` (or
`name_relu6`, `name_silu`); DenseNet has them in the opposite order, under the same names. Keeping
them separate layers leaves each channel group visible to the pruning graph.
Networks are built channels-last whatever `keras.config.image_data_format()` says, because
`input_shape` is given as (height, width, channels) everywhere in the project.
"""

import math

import keras
from keras import KerasTensor, layers, regularizers

MINIMUM_FILTERS = 4
MINIMUM_SIDE = 2


def scaled_filters(filters: int, width: float, minimum: int = MINIMUM_FILTERS) -> int:
    """Filter count of a layer in a network of another width.

    Args:
        filters: filter count at width 1.
        width: multiplier, finite and > 0.
        minimum: never fewer than so many; 4, so that a very thin network still has something to
            prune in every layer.

    Returns:
        `filters * width` rounded to the nearest integer (halves up), at least `minimum`.

    Raises:
        ValueError: if `width` is not a finite number above 0.

    Example:
        >>> scaled_filters(64, 0.25), scaled_filters(16, 0.1)
        (16, 4)
    """
    if not (math.isfinite(width) and width > 0):
        raise ValueError(f"width must be a finite number > 0, for example 0.5. Received: {width}")
    return max(minimum, math.floor(filters * width + 0.5))


def l2_decay(weight_decay: float) -> regularizers.Regularizer | None:
    """L2 regularizer with the meaning "weight decay" has in the papers.

    SGD with weight decay d adds d * W to the gradient, which is the gradient of d / 2 * sum(W^2).
    `keras.regularizers.L2(d)` would add 2 * d * W, so half of it is handed over: `5e-4` here is
    the 5e-4 of the published recipes.

    Args:
        weight_decay: coefficient of W in the gradient, >= 0.

    Returns:
        A regularizer, or None where `weight_decay` is 0.

    Raises:
        ValueError: if `weight_decay` is negative or not finite.

    Example:
        >>> float(l2_decay(0.2).l2)
        0.1
    """
    if not (math.isfinite(weight_decay) and weight_decay >= 0):
        raise ValueError(f"weight_decay must be a finite number >= 0. Received: {weight_decay}")
    return regularizers.L2(weight_decay / 2) if weight_decay else None


def fitting_strides(x: KerasTensor, strides: int) -> int:
    """The stride a small feature map can afford: the one asked for, or 1.

    One rule for DenseNet, MobileNetV2 and EfficientNet lets 8x8 digits through networks made for
    32x32: a stride (or pool) that would leave fewer than `MINIMUM_SIDE` (2) pixels is not taken.
    On a map of one pixel every 3x3 or 5x5 kernel would read padding only. (VGG16 pools down to one
    pixel and the residual networks stride always, which is what their papers have at 32x32.)

    Args:
        x: feature map, (batch, height, width, channels), height and width known.
        strides: stride in both directions where there is room.

    Returns:
        `strides`, or 1 where height or width over `strides` is less than 2.

    Example:
        >>> import keras
        >>> fitting_strides(keras.Input((4, 4, 8)), 2), fitting_strides(keras.Input((3, 9, 8)), 2)
        (2, 1)
    """
    return strides if min(x.shape[1:3]) // strides >= MINIMUM_SIDE else 1


def activated(x: KerasTensor, activation: str, name: str) -> KerasTensor:
    """An activation layer named after what it activates: `name_relu`, `name_relu6`, `name_silu`.

    Args:
        x: any tensor.
        activation: "relu", or another name that `keras.activations` knows.
        name: what the layer's name starts with.

    Returns:
        The activated tensor, same shape.

    Example:
        >>> import keras
        >>> activated(keras.Input((8,)), "silu", "fc").shape
        (None, 8)
    """
    label = f"{name}_{activation}"
    if activation == "relu":
        return layers.ReLU(name=label)(x)
    return layers.Activation(activation, name=label)(x)


def conv(
    x: KerasTensor,
    filters: int,
    name: str,
    *,
    kernel_size: int = 3,
    strides: int = 1,
    use_bias: bool = False,
    weight_decay: float = 0.0,
) -> KerasTensor:
    """`Conv2D` with the padding, initializer and decay of this package.

    Args:
        x: feature map, (batch, height, width, channels).
        filters: output channels.
        name: layer name.
        kernel_size: side of the square kernel.
        strides: stride in both directions; padding is "same".
        use_bias: False where a BatchNorm follows, whose beta does the bias' work.
        weight_decay: see `l2_decay`; applied to the kernel only.

    Returns:
        The feature map, (batch, ceil(height / strides), ceil(width / strides), filters).

    Example:
        >>> import keras
        >>> conv(keras.Input((8, 8, 1)), 4, "conv", strides=2).shape
        (None, 4, 4, 4)
    """
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=use_bias,
        data_format="channels_last",
        kernel_initializer="he_normal",
        kernel_regularizer=l2_decay(weight_decay),
        name=name,
    )(x)


def conv_bn(
    x: KerasTensor,
    filters: int,
    name: str,
    *,
    kernel_size: int = 3,
    strides: int = 1,
    activation: str | None = "relu",
    weight_decay: float = 0.0,
) -> KerasTensor:
    """Convolution without bias, BatchNorm and (optionally) an activation.

    Args:
        x: feature map, (batch, height, width, channels).
        filters: output channels.
        name: name of the convolution; the others are `name_bn` and `name_relu`.
        kernel_size: side of the square kernel.
        strides: stride in both directions; padding is "same".
        activation: see `activated`; None for none.
        weight_decay: see `l2_decay`; applied to the kernel only.

    Returns:
        The feature map, (batch, ceil(height / strides), ceil(width / strides), filters).

    Example:
        >>> import keras
        >>> conv_bn(keras.Input((8, 8, 1)), 4, "conv", strides=2).shape
        (None, 4, 4, 4)
    """
    x = conv(x, filters, name, kernel_size=kernel_size, strides=strides, weight_decay=weight_decay)
    x = batch_norm(x, f"{name}_bn")
    return x if activation is None else activated(x, activation, name)


def batch_norm(x: KerasTensor, name: str) -> KerasTensor:
    """BatchNorm over the last axis, with the momentum and epsilon of the CIFAR literature.

    Keras' default momentum of 0.99 needs hundreds of steps before the moving statistics are
    usable; the published CIFAR recipes use 0.9 and epsilon 1e-5.

    Args:
        x: any tensor whose last axis holds the channels.
        name: layer name.

    Returns:
        The normalised tensor, same shape.

    Example:
        >>> import keras
        >>> batch_norm(keras.Input((8,)), "bn").shape
        (None, 8)
    """
    return layers.BatchNormalization(axis=-1, momentum=0.9, epsilon=1e-5, name=name)(x)


def synchronize_batch_norm(model: keras.Model) -> keras.Model:
    """Makes every BatchNormalization of a model take its moments over all replicas.

    Args:
        model: any model, not called in training yet; nested ones are reached too.

    Returns:
        The same model.

    Raises:
        ValueError: on another backend than TensorFlow, which alone can.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), layers.BatchNormalization()])
        >>> synchronize_batch_norm(model).layers[0].synchronized
        True
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Only Keras' TensorFlow backend can synchronise BatchNormalization; leave "
            f"synchronized=False on {keras.backend.backend()}."
        )
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            synchronize_batch_norm(layer)
        elif isinstance(layer, layers.BatchNormalization):
            layer.synchronized = True
    return model


def dense(x: KerasTensor, units: int, name: str, *, use_bias: bool, weight_decay: float):
    """`Dense` layer with the initializer and decay of this package.

    Args:
        x: features, (batch, features).
        units: output size.
        name: layer name.
        use_bias: False where a BatchNorm follows, whose beta does the bias' work.
        weight_decay: see `l2_decay`; applied to the kernel only.

    Returns:
        Tensor of shape (batch, units).

    Example:
        >>> import keras
        >>> dense(keras.Input((8,)), 3, "logits", use_bias=True, weight_decay=0.0).shape
        (None, 3)
    """
    return layers.Dense(
        units,
        use_bias=use_bias,
        kernel_initializer="he_normal",
        kernel_regularizer=l2_decay(weight_decay),
        name=name,
    )(x)
