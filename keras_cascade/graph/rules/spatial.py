"""Layers that pool, pad, crop or resize positions and leave each channel to itself."""

import keras

from keras_cascade.graph.rules.axes import channel_axis
from keras_cascade.graph.rules.flow import Flow
from keras_cascade.graph.rules.registry import known, register_rule

_POOLINGS = "AveragePooling{0}D MaxPooling{0}D"
_OTHERS = "Cropping{0}D UpSampling{0}D ZeroPadding{0}D"
_ADAPTIVE = _POOLINGS.replace("Average", "AdaptiveAverage").replace("Max", "AdaptiveMax")
_GLOBAL = _POOLINGS.replace("Average", "GlobalAverage").replace("Max", "GlobalMax")


def _in_all_ranks(names):
    return " ".join(names.format(rank) for rank in (1, 2, 3))


@register_rule(
    *known(keras.layers, _in_all_ranks(f"{_POOLINGS} {_ADAPTIVE} {_OTHERS}")),
    *known(keras.layers, "Resizing CenterCrop"),
)
def spatial(layer, inputs, call):
    """Positions are pooled, padded, cropped or repeated within each channel."""
    (x,) = inputs
    # Some of the one-dimensional layers know but one format.
    last = getattr(layer, "data_format", "channels_last") != "channels_first"
    x = call.along(x, len(x.shape) - 1 if last else 1)
    return Flow([call.same(x)])


@register_rule(*known(keras.layers, _in_all_ranks(_GLOBAL)))
def global_pooling(layer, inputs, call):
    """All positions of a channel become one; the channel axis may move."""
    axis = channel_axis(layer, len(inputs[0].shape))
    x = call.along(inputs[0], axis)
    return Flow([call.output(x.labels, axis if layer.keepdims else 1)])
