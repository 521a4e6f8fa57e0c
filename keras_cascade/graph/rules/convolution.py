"""Convolutions: kernels that mix channels, carry them one by one, or do first this, then that."""

import keras
import numpy as np

from keras_cascade.graph.rules.elementwise import pin_mixing_activation
from keras_cascade.graph.rules.registry import Flow, channel_axis, register_rule, spatial_size


@register_rule(keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
def convolution(layer, inputs, call):
    """Every filter reads all input channels; a filter is a channel made."""
    (x,) = inputs
    axis = channel_axis(layer, len(x.shape))
    if x.axis != axis:
        return call.keep_whole(inputs, "convolves across its input's channel axis")
    if layer.groups > 1:
        flow = call.keep_whole(inputs, f"grouped convolution (groups={layer.groups})", axis)
        flow.macs = _kernel_macs(call, axis, layer.kernel.shape, [])
        return flow
    made = call.draw(layer.filters)
    pin_mixing_activation(layer, made, call)
    return Flow(
        [call.output(made, axis)],
        weights=[(layer.kernel, {-2: x.labels, -1: made}), *_bias(layer, made)],
        reads=(0,),
        config={"filters": made},
        macs=_kernel_macs(call, axis, layer.kernel_size, [x.labels, made]),
    )


@register_rule(keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
def depthwise_convolution(layer, inputs, call):
    """Each channel has filters of its own, `depth_multiplier` of them, and is not mixed."""
    (x,) = inputs
    axis = channel_axis(layer, len(x.shape))
    if x.axis != axis:
        return call.keep_whole(inputs, "convolves across its input's channel axis")
    carried = np.repeat(x.labels, layer.depth_multiplier)
    pin_mixing_activation(layer, carried, call)
    return Flow(
        [call.output(carried, axis)],
        weights=[(layer.kernel, {-2: x.labels}), *_bias(layer, carried)],
        macs=_kernel_macs(call, axis, layer.kernel_size, [carried]),
    )


@register_rule(keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
def separable_convolution(layer, inputs, call):
    """A depthwise kernel, whose results a 1x1 kernel mixes."""
    (x,) = inputs
    axis = channel_axis(layer, len(x.shape))
    if x.axis != axis:
        return call.keep_whole(inputs, "convolves across its input's channel axis")
    carried = np.repeat(x.labels, layer.depth_multiplier)
    made = call.draw(layer.filters)
    pin_mixing_activation(layer, made, call)
    depthwise = _kernel_macs(call, axis, layer.kernel_size, [carried])
    pointwise = _kernel_macs(call, axis, (1,), [carried, made])
    return Flow(
        [call.output(made, axis)],
        weights=[
            (layer.depthwise_kernel, {-2: x.labels}),
            (layer.pointwise_kernel, {-2: carried, -1: made}),
            *_bias(layer, made),
        ],
        reads=(0,),
        config={"filters": made},
        macs=None if depthwise is None else depthwise + pointwise,
    )


def _bias(layer, labels):
    return [(layer.bias, {0: labels})] if layer.use_bias else []


def _kernel_macs(call, axis, kernel_size, factors):
    positions = spatial_size(call.output_shapes[0], axis)
    return None if positions is None else [(positions * int(np.prod(kernel_size)), factors)]
