"""VGG16 with BatchNorm, the CIFAR variant of the pruning literature.

Simonyan & Zisserman, "Very deep convolutional networks for large-scale image recognition"
(ICLR 2015), configuration D, with the two 4096-unit layers replaced by one of 512: the network
that HRank, HRankPlus, CPMC and others prune on CIFAR-10 and report as 14.99M parameters and
314M multiply-accumulates. Reproduced exactly: 14,987,210 trainable parameters here, 14,991,946
with the (useless) biases that the published code keeps in front of each BatchNorm.
"""

import keras
from keras import layers

from keras_cascade.models.blocks import (
    batch_norm,
    conv_bn,
    dense,
    scaled_filters,
)

# Convolutions per block and their filters (configuration D of the paper, table 1).
_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
_HIDDEN_UNITS = 512


def vgg16(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    width: float = 1.0,
    *,
    weight_decay: float = 0.0,
    name: str = "vgg16",
) -> keras.Model:
    """VGG16-BN for small images: 13 convolutions, 5 max pools, Dense(512), logits.

    A max pool is left out where the map is already 1 pixel high or wide, so inputs below 32x32
    work too (8x8 digits keep the first three pools). Where the last map is larger than 1x1
    (inputs of 64x64 and up) global average pooling brings it to one vector.
    Layers are named `block1_conv1`, `block1_conv1_bn`, `block1_conv1_relu`, `block1_pool`, ...,
    `global_pool`, `fc1`, `fc1_bn`, `fc1_relu`, `logits`.

    Args:
        input_shape: (height, width, channels) of one image.
        classes: number of classes.
        width: multiplier on every filter count and on the 512 hidden units; rounded, at least 4.
        weight_decay: L2 on the convolution and dense kernels, as SGD's weight decay is counted
            in the papers: the loss gains `weight_decay / 2 * sum(kernel ** 2)`. 0 is none.
        name: model name.

    Returns:
        Functional model from (batch, height, width, channels) to logits (batch, classes), with no
        softmax: use losses with `from_logits=True`.

    Raises:
        ValueError: if `width` is not positive or `weight_decay` is negative.

    Example:
        >>> vgg16((8, 8, 1), classes=10, width=0.25).output_shape
        (None, 10)
    """
    inputs = x = keras.Input(input_shape, name="image")
    for block, (convolutions, filters) in enumerate(_BLOCKS, start=1):
        filters = scaled_filters(filters, width)
        for index in range(1, convolutions + 1):
            x = conv_bn(x, filters, f"block{block}_conv{index}", weight_decay=weight_decay)
        if min(x.shape[1:3]) > 1:
            pool = layers.MaxPooling2D(data_format="channels_last", name=f"block{block}_pool")
            x = pool(x)
    x = layers.GlobalAveragePooling2D(data_format="channels_last", name="global_pool")(x)
    units = scaled_filters(_HIDDEN_UNITS, width)
    x = dense(x, units, "fc1", use_bias=False, weight_decay=weight_decay)
    x = layers.ReLU(name="fc1_relu")(batch_norm(x, "fc1_bn"))
    outputs = dense(x, classes, "logits", use_bias=True, weight_decay=weight_decay)
    return keras.Model(inputs, outputs, name=name)
