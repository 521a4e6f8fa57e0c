"""MobileNetV2 for small images.

Sandler, Howard, Zhu, Zhmoginov & Chen, "MobileNetV2: inverted residuals and linear bottlenecks"
(CVPR 2018), table 2. The paper's network takes 224x224 images down by 32; the stem and the second
stage have stride 1 here, as in the usual CIFAR ports, so that 32x32 images come down to 4x4.
"""

import keras

from keras_cascade.models.inverted_residual import Stage, inverted_residual_network

_STAGES = (
    Stage(expansion=1, filters=16, blocks=1, strides=1),
    Stage(expansion=6, filters=24, blocks=2, strides=1),  # 2 in the paper
    Stage(expansion=6, filters=32, blocks=3, strides=2),
    Stage(expansion=6, filters=64, blocks=4, strides=2),
    Stage(expansion=6, filters=96, blocks=3, strides=1),
    Stage(expansion=6, filters=160, blocks=3, strides=2),
    Stage(expansion=6, filters=320, blocks=1, strides=1),
)


def mobilenet_v2(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    width: float = 1.0,
    *,
    weight_decay: float = 0.0,
    name: str = "mobilenet_v2",
) -> keras.Model:
    """MobileNetV2 with the strides that fit 32x32: 17 inverted residuals with ReLU6.

    2,236,682 trainable parameters, as many as the paper's network has with 10 classes, and 88.0M
    multiply-accumulates at 32x32x3 (Sandler et al. 2018, table 2). Layers are named `stem_conv`,
    `stage2_block1_expand`, `stage2_block1_depthwise`, `stage2_block1_project` (each with `_bn`
    and, but for the last, `_relu6`), `stage2_block2_add`, `last_conv`, `global_pool`, `logits`.

    Args:
        input_shape: (height, width, channels) of one image. A stride is not taken where fewer than
            2x2 pixels would be left: 8x8x1 digits keep two of three.
        classes: number of classes.
        width: multiplier on every filter count, the last 1280 included; rounded to whole filters,
            not to multiples of 8, and at least 4.
        weight_decay: L2 on the convolution (not depthwise) and dense kernels, as SGD's weight
            decay is counted in the papers: the loss gains `weight_decay / 2 * sum(kernel ** 2)`.
        name: model name.

    Returns:
        Functional model from (batch, height, width, channels) to logits (batch, classes), with no
        softmax: use losses with `from_logits=True`.

    Raises:
        ValueError: if `width` is not positive or `weight_decay` is negative.

    Example:
        >>> mobilenet_v2((8, 8, 1), classes=10, width=0.25).output_shape
        (None, 10)
    """
    return inverted_residual_network(
        _STAGES,
        input_shape,
        classes,
        width,
        weight_decay,
        name,
        activation="relu6",
    )
