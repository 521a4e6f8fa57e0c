"""Layers that move or join positions and leave each channel to itself."""

import keras
import numpy as np

from keras_cascade.graph.rules.registry import Flow, channel_axis, register_rule

_POOLINGS = tuple(
    getattr(keras.layers, f"{kind}Pooling{rank}D")
    for kind in ("Average", "Max")
    for rank in (1, 2, 3)
)
_GLOBAL_POOLINGS = tuple(
    getattr(keras.layers, f"Global{kind}Pooling{rank}D")
    for kind in ("Average", "Max")
    for rank in (1, 2, 3)
)


@register_rule(*_POOLINGS, keras.layers.ZeroPadding2D, keras.layers.ZeroPadding3D)
def spatial(layer, inputs, call):
    """Positions are pooled or padded within each channel."""
    (x,) = inputs
    if x.axis != channel_axis(layer, len(x.shape)):
        return call.keep_whole(inputs, f"{type(layer).__name__} across its input's channel axis")
    return Flow([call.same(x)])


@register_rule(keras.layers.ZeroPadding1D)
def padding_of_steps(layer, inputs, call):
    """As `spatial`; older Keras gives this layer no data_format: axis 1 is padded."""
    (x,) = inputs
    if not x.last or getattr(layer, "data_format", "channels_last") != "channels_last":
        return call.keep_whole(inputs, "ZeroPadding1D across its input's channel axis")
    return Flow([call.same(x)])


@register_rule(*_GLOBAL_POOLINGS)
def global_pooling(layer, inputs, call):
    """All positions of a channel become one; the channel axis may move."""
    (x,) = inputs
    axis = channel_axis(layer, len(x.shape))
    if x.axis != axis:
        return call.keep_whole(inputs, f"{type(layer).__name__} across its input's channel axis")
    return Flow([call.output(x.labels, axis if layer.keepdims else 1)])


@register_rule(keras.layers.Flatten)
def flatten(layer, inputs, call):
    """Each channel is spread over all positions of the map."""
    (x,) = inputs
    if len(x.shape) == 2:
        return Flow([call.same(x)])
    if None in x.shape[1:]:
        return call.keep_whole(inputs, "Flatten of a map of unknown size")
    frame = [1] * (len(x.shape) - 1)
    frame[x.axis - 1] = len(x)
    spread = np.broadcast_to(x.labels.reshape(frame), x.shape[1:])
    if layer.data_format == "channels_first":  # Keras moves the channels last before flattening
        spread = np.moveaxis(spread, 0, -1)
    return Flow([call.output(spread.ravel())])


@register_rule(keras.layers.Concatenate)
def concatenate(layer, inputs, call):
    """Channels side by side, or, along another axis, the same channels' positions."""
    first = inputs[0]
    if any(len(x.shape) != len(first.shape) or x.axis != first.axis for x in inputs):
        return call.keep_whole(inputs, "Concatenate of differing channel axes")
    if layer.axis % len(first.shape) == first.axis:
        return Flow([call.output(np.concatenate([x.labels for x in inputs]), first.axis)])
    if any(len(x) != len(first) for x in inputs):
        return call.keep_whole(inputs, "Concatenate of differing channel counts")
    for other in inputs[1:]:
        call.couple(first.labels, other.labels)
    return Flow([call.same(first)])
