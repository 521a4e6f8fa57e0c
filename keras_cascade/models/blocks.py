"""The pieces the CIFAR networks share: filter scaling, convolution + BatchNorm, L2 decay.

Every convolution of this package is a bias-free `Conv2D` followed by `BatchNormalization` and,
unless it ends a residual branch, a `ReLU`: three layers named `name`, `name_bn` and `name_relu`.
Keeping them separate layers leaves each channel group visible to the pruning graph.
Networks are built channels-last whatever `keras.config.image_data_format()` says, because
`input_shape` is given as (height, width, channels) everywhere in the project.
"""

import math

from keras import KerasTensor, layers, regularizers

MINIMUM_FILTERS = 4


def scaled_filters(filters: int, width: float) -> int:
    """Filter count of a layer in a network of another width.

    Args:
        filters: filter count at width 1.
        width: multiplier, finite and > 0.

    Returns:
        `filters * width` rounded to the nearest integer (halves up), and never less than
        `MINIMUM_FILTERS` (4), so that a very thin network still has something to prune.

    Raises:
        ValueError: if `width` is not a finite number above 0.

    Example:
        >>> scaled_filters(64, 0.25), scaled_filters(16, 0.1)
        (16, 4)
    """
    if not (math.isfinite(width) and width > 0):
        raise ValueError(f"width must be a finite number > 0, for example 0.5. Received: {width}")
    return max(MINIMUM_FILTERS, math.floor(filters * width + 0.5))


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


def conv_bn(
    x: KerasTensor,
    filters: int,
    name: str,
    *,
    kernel_size: int = 3,
    strides: int = 1,
    relu: bool = True,
    weight_decay: float = 0.0,
) -> KerasTensor:
    """Convolution without bias, BatchNorm and (optionally) ReLU.

    Args:
        x: feature map, (batch, height, width, channels).
        filters: output channels.
        name: name of the convolution; the others are `name_bn` and `name_relu`.
        kernel_size: side of the square kernel.
        strides: stride in both directions; padding is "same".
        relu: whether to end with a ReLU.
        weight_decay: see `l2_decay`; applied to the kernel only.

    Returns:
        The feature map, (batch, ceil(height / strides), ceil(width / strides), filters).

    Example:
        >>> import keras
        >>> conv_bn(keras.Input((8, 8, 1)), 4, "conv", strides=2).shape
        (None, 4, 4, 4)
    """
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        data_format="channels_last",
        kernel_initializer="he_normal",
        kernel_regularizer=l2_decay(weight_decay),
        name=name,
    )(x)
    x = batch_norm(x, f"{name}_bn")
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


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
