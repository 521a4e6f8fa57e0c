"""Networks of inverted residuals: what MobileNetV2 and EfficientNet have in common.

Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks" (CVPR 2018), section 3:
a 1x1 convolution expands a thin feature map, a depthwise one filters it, a 1x1 convolution without
activation projects it back to a thin map, and thin maps of equal shape are joined by a shortcut.
Tan & Le's "EfficientNet" (ICML 2019) adds squeeze-and-excitation (Hu, Shen & Sun, CVPR 2018)
before the projection, 5x5 kernels and another activation. Both have a stem of 32 filters and end
in a 1x1 convolution to 1280, so one builder makes them from a table of stages.

Filter counts are those of `scaled_filters`, as in all networks of this package: rounded to whole
filters, at least 4. The papers round to multiples of 8, which is kinder to accelerators, but
leaves thin networks on small images next to nothing to choose from (24 filters at width 0.25
would be 8, and so would 16 and 32). And the last 1280 filters are scaled too: MobileNetV2 keeps
them below width 1, for ImageNet's thousand classes; here they would outweigh the rest.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, initializers, layers

from keras_cascade.models.blocks import (
    activated,
    batch_norm,
    conv,
    conv_bn,
    dense,
    fitting_strides,
    scaled_filters,
)

_STEM_FILTERS = 32
_LAST_FILTERS = 1280


@dataclasses.dataclass(frozen=True)
class Stage:
    """A row of the papers' tables: blocks in a row that yield equally many channels.

    Attributes:
        expansion: channels inside a block over channels that enter it.
        filters: channels that leave each block, at width 1.
        blocks: how many blocks; the first one strides.
        strides: stride of the first block, where the map is large enough (`fitting_strides`).
        kernel_size: side of the depthwise kernels.
    """

    expansion: int
    filters: int
    blocks: int
    strides: int
    kernel_size: int = 3


def inverted_residual_network(
    stages: Sequence[Stage],
    input_shape: tuple[int, int, int],
    classes: int,
    width: float,
    weight_decay: float,
    name: str,
    *,
    activation: str,
    squeeze_ratio: float | None = None,
) -> keras.Model:
    """Stem of stride 1, `stages` of inverted residuals, 1x1 convolution, pool, logits.

    Args:
        stages: the table; see `Stage`.
        input_shape: (height, width, channels) of one image.
        classes: number of classes.
        width: multiplier on every filter count.
        weight_decay: L2 on convolution and dense kernels, not on depthwise ones: they have few
            weights (Howard et al. 2017, "MobileNets", section 3.2).
        name: model name.
        activation: "relu6" or "silu"; see `blocks.activated`.
        squeeze_ratio: units of squeeze-and-excitation over channels that enter a block; None for
            no squeeze-and-excitation.

    Returns:
        Functional model from images to logits.

    Example:
        >>> stages = [Stage(1, 16, 1, 1), Stage(6, 24, 2, 2)]
        >>> inverted_residual_network(
        ...     stages, (8, 8, 1), 10, 0.25, 0.0, "tiny", activation="relu6"
        ... ).output_shape
        (None, 10)
    """
    inputs = keras.Input(input_shape, name="image")
    stem_filters = scaled_filters(_STEM_FILTERS, width)
    decay: dict[str, Any] = {"weight_decay": weight_decay}
    x = conv_bn(inputs, stem_filters, "stem_conv", activation=activation, **decay)
    for index, stage in enumerate(stages, start=1):
        filters = scaled_filters(stage.filters, width)
        for block in range(1, stage.blocks + 1):
            x = _inverted_residual(
                x,
                filters,
                f"stage{index}_block{block}",
                expansion=stage.expansion,
                kernel_size=stage.kernel_size,
                strides=fitting_strides(x, stage.strides) if block == 1 else 1,
                activation=activation,
                squeeze_ratio=squeeze_ratio,
                weight_decay=weight_decay,
            )
    last_filters = scaled_filters(_LAST_FILTERS, width)
    x = conv_bn(x, last_filters, "last_conv", kernel_size=1, activation=activation, **decay)
    x = layers.GlobalAveragePooling2D(data_format="channels_last", name="global_pool")(x)
    outputs = dense(x, classes, "logits", use_bias=True, **decay)
    return keras.Model(inputs, outputs, name=name)


def _inverted_residual(
    x: KerasTensor,
    filters: int,
    name: str,
    *,
    expansion: int,
    kernel_size: int,
    strides: int,
    activation: str,
    squeeze_ratio: float | None,
    weight_decay: float,
) -> KerasTensor:
    entering = x
    decay: dict[str, Any] = {"weight_decay": weight_decay}
    if expansion != 1:
        wide = expansion * x.shape[-1]
        x = conv_bn(x, wide, f"{name}_expand", kernel_size=1, activation=activation, **decay)
    x = _depthwise_bn(x, f"{name}_depthwise", kernel_size, strides, activation)
    if squeeze_ratio is not None:
        units = scaled_filters(entering.shape[-1], squeeze_ratio)
        x = _squeeze_excite(x, units, name, activation, weight_decay)
    x = conv_bn(x, filters, f"{name}_project", kernel_size=1, activation=None, **decay)
    if strides == 1 and entering.shape[-1] == filters:
        x = layers.Add(name=f"{name}_add")([entering, x])
    return x


def _depthwise_bn(
    x: KerasTensor, name: str, kernel_size: int, strides: int, activation: str
) -> KerasTensor:
    x = layers.DepthwiseConv2D(
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        data_format="channels_last",
        # He's initialization: a depthwise kernel has the fan-in of one filter in its fan-out.
        depthwise_initializer=initializers.VarianceScaling(scale=2.0, mode="fan_out"),
        name=name,
    )(x)
    return activated(batch_norm(x, f"{name}_bn"), activation, name)


def _squeeze_excite(
    x: KerasTensor, units: int, name: str, activation: str, weight_decay: float
) -> KerasTensor:
    """Scales each channel by a number in (0, 1) that the means of all channels decide."""
    decay: dict[str, Any] = {"kernel_size": 1, "use_bias": True, "weight_decay": weight_decay}
    pool = layers.GlobalAveragePooling2D(
        keepdims=True, data_format="channels_last", name=f"{name}_se_pool"
    )
    scale = conv(pool(x), units, f"{name}_se_reduce", **decay)
    scale = activated(scale, activation, f"{name}_se_reduce")
    scale = conv(scale, x.shape[-1], f"{name}_se_expand", **decay)
    scale = activated(scale, "sigmoid", f"{name}_se_expand")
    return layers.Multiply(name=f"{name}_se_scale")([x, scale])
