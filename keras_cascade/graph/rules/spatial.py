"""Layers that pool, pad, crop or resize positions and leave each channel to itself."""

import keras

from keras_cascade.graph.rules.registry import Flow, channel_axis, register_rule


def _layers(*names):
    """The layers of those names that the installed Keras has."""
    return [getattr(keras.layers, name) for name in names if hasattr(keras.layers, name)]


_RANKS = (1, 2, 3)
_POOLINGS = [f"{kind}Pooling{rank}D" for kind in ("Average", "Max") for rank in _RANKS]


@register_rule(
    *_layers(*_POOLINGS, *(f"Adaptive{name}" for name in _POOLINGS)),
    *_layers(*(f"{kind}{rank}D" for kind in ("Cropping", "UpSampling") for rank in _RANKS)),
    *_layers(*(f"ZeroPadding{rank}D" for rank in _RANKS), "Resizing", "CenterCrop"),
)
def spatial(layer, inputs, call):
    """Positions are pooled, padded, cropped or repeated within each channel."""
    (x,) = inputs
    # Some of the one-dimensional layers know but one format.
    last = getattr(layer, "data_format", "channels_last") != "channels_first"
    x = call.along(x, len(x.shape) - 1 if last else 1)
    return Flow([call.same(x)])


@register_rule(*_layers(*(f"Global{name}" for name in _POOLINGS)))
def global_pooling(layer, inputs, call):
    """All positions of a channel become one; the channel axis may move."""
    axis = channel_axis(layer, len(inputs[0].shape))
    x = call.along(inputs[0], axis)
    return Flow([call.output(x.labels, axis if layer.keepdims else 1)])
