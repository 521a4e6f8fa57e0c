"""EfficientNet-B0 for small images.

Tan & Le, "EfficientNet: rethinking model scaling for convolutional neural networks" (ICML 2019),
table 1, with squeeze-and-excitation in every block and SiLU ("swish") activations. The paper's
network takes 224x224 images down by 32; the stem and the second stage have stride 1 here, as in
our MobileNetV2, so that 32x32 images come down to 4x4. Dropout and stochastic depth belong to the
paper's training on ImageNet and are left out.
"""

import keras

from keras_cascade.models.inverted_residual import Stage, inverted_residual_network

_STAGES = (
    Stage(expansion=1, filters=16, blocks=1, strides=1, kernel_size=3),
    Stage(expansion=6, filters=24, blocks=2, strides=1, kernel_size=3),  # stride 2 in the paper
    Stage(expansion=6, filters=40, blocks=2, strides=2, kernel_size=5),
    Stage(expansion=6, filters=80, blocks=3, strides=2, kernel_size=3),
    Stage(expansion=6, filters=112, blocks=3, strides=1, kernel_size=5),
    Stage(expansion=6, filters=192, blocks=4, strides=2, kernel_size=5),
    Stage(expansion=6, filters=320, blocks=1, strides=1, kernel_size=3),
)


def efficientnet_b0(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    width: float = 1.0,
    *,
    weight_decay: float = 0.0,
    name: str = "efficientnet_b0",
) -> keras.Model:
    """EfficientNet-B0 with the strides that fit 32x32: 16 inverted residuals that excite.

    4,020,358 trainable parameters, as many as the paper's network has with 10 classes, and 116M
    multiply-accumulates at 32x32x3 (Tan & Le 2019, table 1). Layers are named as in
    `mobilenet_v2`, with `_silu` for `_relu6`; squeeze-and-excitation is `stage2_block1_se_pool`,
    `..._se_reduce`, `..._se_expand`, `..._se_scale`.

    Args:
        input_shape: (height, width, channels) of one image. A stride is not taken where fewer than
            2x2 pixels would be left: 8x8x1 digits keep two of three.
        classes: number of classes.
        width: multiplier on every filter count; rounded to whole filters, not to multiples of 8,
            and at least 4. The squeezed units are a quarter of the channels that enter a block,
            also at least 4. Depth and resolution do not scale (they do in B1 to B7).
        weight_decay: L2 on the convolution (not depthwise) and dense kernels, as SGD's weight
            decay is counted in the papers: the loss gains `weight_decay / 2 * sum(kernel ** 2)`.
        name: model name.

    Returns:
        Functional model from (batch, height, width, channels) to logits (batch, classes), with no
        softmax: use losses with `from_logits=True`.

    Raises:
        ValueError: if `width` is not positive or `weight_decay` is negative.

    Example:
        >>> efficientnet_b0((8, 8, 1), classes=10, width=0.25).output_shape
        (None, 10)
    """
    return inverted_residual_network(
        _STAGES,
        input_shape,
        classes,
        width,
        weight_decay,
        name,
        activation="silu",
        squeeze_ratio=0.25,
    )
