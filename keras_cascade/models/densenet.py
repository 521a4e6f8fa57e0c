"""CIFAR densely connected networks: DenseNet-BC of 40 layers.

Huang, Liu, van der Maaten & Weinberger, "Densely connected convolutional networks" (CVPR 2017):
section 3 for the layers, "implementation details" there for the stem and the three blocks.
Every dense layer reads all feature maps before it in its block and adds `growth` of its own; it is
BN-ReLU-Conv(1x1) to 4 * growth channels, then BN-ReLU-Conv(3x3). A transition halves channels
("BC": bottleneck and compression) and map. Normalisation comes before each convolution, so one
channel has another BatchNorm at every place that reads it: the layers `name_bn`, `name_relu`,
`name` are here in the order in which they are applied.
"""

from collections.abc import Sequence

import keras
from keras import KerasTensor, layers

from keras_cascade.models.blocks import (
    activated,
    batch_norm,
    conv,
    dense,
    fitting_strides,
    scaled_filters,
)

_BOTTLENECK_EXPANSION = 4


def _bn_relu_conv(
    x: KerasTensor, filters: int, name: str, kernel_size: int, weight_decay: float
) -> KerasTensor:
    x = activated(batch_norm(x, f"{name}_bn"), "relu", name)
    return conv(x, filters, name, kernel_size=kernel_size, weight_decay=weight_decay)


def _dense_layer(x: KerasTensor, growth: int, name: str, weight_decay: float) -> KerasTensor:
    wide = growth * _BOTTLENECK_EXPANSION
    new = _bn_relu_conv(x, wide, f"{name}_conv1", 1, weight_decay)
    new = _bn_relu_conv(new, growth, f"{name}_conv2", 3, weight_decay)
    return layers.Concatenate(name=f"{name}_concat")([x, new])


def _transition(x: KerasTensor, name: str, weight_decay: float) -> KerasTensor:
    """Half the channels (compression 0.5), then half the map where it is large enough."""
    x = _bn_relu_conv(x, x.shape[-1] // 2, f"{name}_conv", 1, weight_decay)
    size = fitting_strides(x, 2)
    if size == 1:
        return x
    return layers.AveragePooling2D(size, data_format="channels_last", name=f"{name}_pool")(x)


def _densenet(
    blocks: Sequence[int],
    growth: int,
    input_shape: tuple[int, int, int],
    classes: int,
    weight_decay: float,
    name: str,
) -> keras.Model:
    """Stem of 2 * growth filters, `blocks` of so many dense layers, transitions, pool, logits."""
    inputs = keras.Input(input_shape, name="image")
    x = conv(inputs, 2 * growth, "stem_conv", weight_decay=weight_decay)
    for block, count in enumerate(blocks, start=1):
        if block > 1:
            x = _transition(x, f"transition{block - 1}", weight_decay)
        for layer in range(1, count + 1):
            x = _dense_layer(x, growth, f"block{block}_layer{layer}", weight_decay)
    x = activated(batch_norm(x, "final_bn"), "relu", "final")
    x = layers.GlobalAveragePooling2D(data_format="channels_last", name="global_pool")(x)
    outputs = dense(x, classes, "logits", use_bias=True, weight_decay=weight_decay)
    return keras.Model(inputs, outputs, name=name)


def densenet40(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    width: float = 1.0,
    *,
    weight_decay: float = 0.0,
    name: str = "densenet40",
) -> keras.Model:
    """DenseNet-BC for CIFAR, depth 40, growth rate 12: 3 blocks of 6 dense layers.

    176,122 trainable parameters and 72.4M multiply-accumulates at 32x32x3. (The DenseNet of 40
    layers with 1.0M parameters in the paper's table 2 has neither bottlenecks nor compression.)
    No dropout: the paper has none where the training images are augmented.
    Layers are named `stem_conv`, `block1_layer1_conv1_bn`, `block1_layer1_conv1_relu`,
    `block1_layer1_conv1` (1x1), `block1_layer1_conv2` (3x3), `block1_layer1_concat`,
    `transition1_conv`, `transition1_pool`, `final_bn`, `final_relu`, `global_pool`, `logits`.

    Args:
        input_shape: (height, width, channels) of one image. A transition does not pool where fewer
            than 2x2 pixels would be left; 8x8x1 digits keep both pools.
        classes: number of classes.
        width: multiplier on the growth rate; rounded, at least 1. Stem and bottlenecks are
            multiples of the growth rate, so widths up to 1 give twelve networks in all.
        weight_decay: L2 on the convolution and dense kernels, as SGD's weight decay is counted
            in the papers: the loss gains `weight_decay / 2 * sum(kernel ** 2)`. 0 is none.
        name: model name.

    Returns:
        Functional model from (batch, height, width, channels) to logits (batch, classes), with no
        softmax: use losses with `from_logits=True`.

    Raises:
        ValueError: if `width` is not positive or `weight_decay` is negative.

    Example:
        >>> densenet40((8, 8, 1), classes=10, width=0.5).output_shape
        (None, 10)
    """
    layers_per_block = (40 - 4) // 6  # stem, two transitions, logits; two convolutions a layer
    growth = scaled_filters(12, width, minimum=1)
    arguments = (growth, input_shape, classes, weight_decay, name)
    return _densenet((layers_per_block,) * 3, *arguments)
