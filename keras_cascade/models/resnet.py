"""CIFAR residual networks: ResNet-20, -32, -56 with basic blocks, ResNet-50 with bottlenecks.

He, Zhang, Ren & Sun, "Deep residual learning for image recognition" (CVPR 2016): section 4.2 for
the three thin networks, table 1 for ResNet-50, here with the stem that CIFAR needs (one 3x3
convolution of stride 1, no max pool). Section 4.2 uses parameter-free shortcuts (option A:
subsample and pad with zero channels); those tie every channel to a fixed position and cannot be
cut, so the shortcuts that change shape are 1x1 convolutions with BatchNorm (option B), as the
pruning literature has them. ResNet-50 strides in its 3x3 convolution, not in the first 1x1.
"""

from collections.abc import Callable, Sequence

import keras
from keras import KerasTensor, layers

from keras_cascade.models.blocks import conv_bn, dense, scaled_filters

_BOTTLENECK_EXPANSION = 4

Branch = Callable[..., KerasTensor]


def _basic_branch(
    x: KerasTensor, filters: int, strides: int, name: str, weight_decay: float
) -> KerasTensor:
    x = conv_bn(x, filters, f"{name}_conv1", strides=strides, weight_decay=weight_decay)
    return conv_bn(x, filters, f"{name}_conv2", activation=None, weight_decay=weight_decay)


def _bottleneck_branch(
    x: KerasTensor, filters: int, strides: int, name: str, weight_decay: float
) -> KerasTensor:
    wide = filters * _BOTTLENECK_EXPANSION
    x = conv_bn(x, filters, f"{name}_conv1", kernel_size=1, weight_decay=weight_decay)
    x = conv_bn(x, filters, f"{name}_conv2", strides=strides, weight_decay=weight_decay)
    return conv_bn(
        x, wide, f"{name}_conv3", kernel_size=1, activation=None, weight_decay=weight_decay
    )


def _residual_block(
    x: KerasTensor, branch: Branch, filters: int, strides: int, name: str, weight_decay: float
) -> KerasTensor:
    residual = branch(x, filters, strides, name, weight_decay)
    if strides != 1 or residual.shape[-1] != x.shape[-1]:
        x = conv_bn(
            x,
            residual.shape[-1],
            f"{name}_shortcut",
            kernel_size=1,
            strides=strides,
            activation=None,
            weight_decay=weight_decay,
        )
    x = layers.Add(name=f"{name}_add")([residual, x])
    return layers.ReLU(name=f"{name}_relu")(x)


def _resnet(
    branch: Branch,
    stages: Sequence[tuple[int, int]],
    input_shape: tuple[int, int, int],
    classes: int,
    width: float,
    weight_decay: float,
    name: str,
) -> keras.Model:
    """Stem, `stages` of (blocks, filters) that each halve the map but the first, pool, logits."""
    inputs = keras.Input(input_shape, name="image")
    stem_filters = scaled_filters(stages[0][1], width)
    x = conv_bn(inputs, stem_filters, "stem_conv", weight_decay=weight_decay)
    for stage, (blocks, filters) in enumerate(stages, start=1):
        filters = scaled_filters(filters, width)
        for block in range(1, blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            block_name = f"stage{stage}_block{block}"
            x = _residual_block(x, branch, filters, strides, block_name, weight_decay)
    x = layers.GlobalAveragePooling2D(data_format="channels_last", name="global_pool")(x)
    outputs = dense(x, classes, "logits", use_bias=True, weight_decay=weight_decay)
    return keras.Model(inputs, outputs, name=name)


def _thin_resnet(
    depth: int,
    name: str,
    input_shape: tuple[int, int, int],
    classes: int,
    width: float,
    weight_decay: float,
) -> keras.Model:
    blocks = (depth - 2) // 6  # section 4.2: 6n + 2 weighted layers
    stages = ((blocks, 16), (blocks, 32), (blocks, 64))
    return _resnet(_basic_branch, stages, input_shape, classes, width, weight_decay, name)


def resnet20(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    width: float = 1.0,
    *,
    weight_decay: float = 0.0,
    name: str = "resnet20",
) -> keras.Model:
    """ResNet-20 for CIFAR: 3 stages of 3 basic blocks with 16, 32 and 64 filters.

    272,474 trainable parameters and 41M multiply-accumulates at 32x32x3 (He et al. 2016,
    section 4.2; 0.27M in table 6). Layers are named `stem_conv`, `stage2_block3_conv1`,
    `stage2_block3_conv1_bn`, `stage2_block1_shortcut`, `stage2_block3_add`, `logits`, ...

    Args:
        input_shape: (height, width, channels) of one image; 8x8x1 digits work, any size does.
        classes: number of classes.
        width: multiplier on every filter count; rounded, at least 4.
        weight_decay: L2 on the convolution and dense kernels, as SGD's weight decay is counted
            in the papers: the loss gains `weight_decay / 2 * sum(kernel ** 2)`. 0 is none.
        name: model name.

    Returns:
        Functional model from (batch, height, width, channels) to logits (batch, classes), with no
        softmax: use losses with `from_logits=True`.

    Raises:
        ValueError: if `width` is not positive or `weight_decay` is negative.

    Example:
        >>> resnet20((8, 8, 1), classes=10, width=0.5).output_shape
        (None, 10)
    """
    return _thin_resnet(20, name, input_shape, classes, width, weight_decay)


def resnet32(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    width: float = 1.0,
    *,
    weight_decay: float = 0.0,
    name: str = "resnet32",
) -> keras.Model:
    """ResNet-32 for CIFAR: 3 stages of 5 basic blocks; 466,906 trainable parameters.

    Arguments, returns and errors are those of `resnet20` (He et al. 2016, section 4.2).

    Example:
        >>> resnet32((8, 8, 1), width=0.25).output_shape
        (None, 10)
    """
    return _thin_resnet(32, name, input_shape, classes, width, weight_decay)


def resnet56(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    width: float = 1.0,
    *,
    weight_decay: float = 0.0,
    name: str = "resnet56",
) -> keras.Model:
    """ResNet-56 for CIFAR: 3 stages of 9 basic blocks; 855,770 trainable parameters.

    126M multiply-accumulates at 32x32x3. Arguments, returns and errors are those of `resnet20`
    (He et al. 2016, section 4.2).

    Example:
        >>> resnet56((8, 8, 1), width=0.25).output_shape
        (None, 10)
    """
    return _thin_resnet(56, name, input_shape, classes, width, weight_decay)


def resnet50(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    width: float = 1.0,
    *,
    weight_decay: float = 0.0,
    name: str = "resnet50",
) -> keras.Model:
    """ResNet-50 with the CIFAR stem: 3, 4, 6 and 3 bottleneck blocks on 64 to 2048 channels.

    23,520,842 trainable parameters and 1.30G multiply-accumulates at 32x32x3. At 224x224 this
    stem costs some sixteen times the ImageNet network: use `"keras.applications.ResNet50"` of
    `build_model` there. Arguments, returns and errors are those of `resnet20`; layers are named
    `stage3_block2_conv1` (1x1), `..._conv2` (3x3), `..._conv3` (1x1) (He et al. 2016, table 1).

    Example:
        >>> resnet50((8, 8, 1), width=0.125).output_shape
        (None, 10)
    """
    stages = ((3, 64), (4, 128), (6, 256), (3, 512))
    arguments = (input_shape, classes, width, weight_decay, name)
    return _resnet(_bottleneck_branch, stages, *arguments)
