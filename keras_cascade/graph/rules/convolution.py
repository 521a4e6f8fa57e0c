"""Convolutions: kernels that mix channels, carry them one by one, or do first this, then that."""

import keras
import numpy as np

from keras_cascade.graph.rules.axes import channel_axis, spatial_size
from keras_cascade.graph.rules.elementwise import pin_mixing_activation
from keras_cascade.graph.rules.flow import Flow, KeepWhole
from keras_cascade.graph.rules.registry import register_rule


@register_rule(keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
def convolution(layer, inputs, call):
    """Every filter reads the input channels of its group; a filter is a channel made."""
    axis = channel_axis(layer, len(inputs[0].shape))
    x = call.along(inputs[0], axis)
    if layer.groups == len(x) > 1:  # over a single channel, a plain convolution
        return _filters_of_single_channels(layer, x, axis, call)
    read = call.couple_groups(x.labels, layer.groups)
    made = call.draw(layer.filters)
    call.couple_groups(made, layer.groups)
    pin_mixing_activation(layer, made, call)
    return Flow(
        [call.output(made, axis)],
        weights=[(layer.kernel, {-2: read, -1: made}), *_bias(layer, made)],
        reads=(0,),
        rows=[(layer.kernel, -2, read)],
        config={"filters": made},
        macs=_kernel_macs(call.output_shapes[0], axis, layer.kernel_size, [read, made]),
    )


@register_rule(
    keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose
)
def transposed_convolution(layer, inputs, call):
    """As a convolution, its kernel stored the other way round and laid over every input."""
    if getattr(layer, "groups", 1) != 1:
        raise KeepWhole(f"grouped {call.kind}")
    axis = channel_axis(layer, len(inputs[0].shape))
    x = call.along(inputs[0], axis)
    made = call.draw(layer.filters)
    pin_mixing_activation(layer, made, call)
    return Flow(
        [call.output(made, axis)],
        weights=[(layer.kernel, {-2: made, -1: x.labels}), *_bias(layer, made)],
        reads=(0,),
        rows=[(layer.kernel, -1, x.labels)],
        config={"filters": made},
        macs=_kernel_macs(x.shape, axis, layer.kernel_size, [x.labels, made]),
    )


@register_rule(keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
def depthwise_convolution(layer, inputs, call):
    """Each channel has filters of its own, `depth_multiplier` of them, and is not mixed."""
    axis = channel_axis(layer, len(inputs[0].shape))
    x = call.along(inputs[0], axis)
    carried = np.repeat(x.labels, layer.depth_multiplier)
    pin_mixing_activation(layer, carried, call)
    return Flow(
        [call.output(carried, axis)],
        weights=[(layer.kernel, {-2: x.labels}), *_bias(layer, carried)],
        macs=_kernel_macs(call.output_shapes[0], axis, layer.kernel_size, [carried]),
    )


@register_rule(keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
def separable_convolution(layer, inputs, call):
    """A depthwise kernel, whose results a 1x1 kernel mixes."""
    axis = channel_axis(layer, len(inputs[0].shape))
    x = call.along(inputs[0], axis)
    carried = np.repeat(x.labels, layer.depth_multiplier)
    made = call.draw(layer.filters)
    pin_mixing_activation(layer, made, call)
    shape = call.output_shapes[0]
    depthwise = _kernel_macs(shape, axis, layer.kernel_size, [carried])
    pointwise = _kernel_macs(shape, axis, (1,), [carried, made])
    return Flow(
        [call.output(made, axis)],
        weights=[
            (layer.depthwise_kernel, {-2: x.labels}),
            (layer.pointwise_kernel, {-2: carried, -1: made}),
            *_bias(layer, made),
        ],
        reads=(0,),
        rows=[(layer.pointwise_kernel, -2, carried)],
        config={"filters": made},
        macs=None if depthwise is None else depthwise + pointwise,
    )


def _filters_of_single_channels(layer, x, axis, call):
    """As many groups as channels: a depthwise convolution by another name."""
    carried = np.repeat(x.labels, layer.filters // layer.groups)
    pin_mixing_activation(layer, carried, call)
    return Flow(
        [call.output(carried, axis)],
        weights=[(layer.kernel, {-1: carried}), *_bias(layer, carried)],
        config={"filters": carried, "groups": x.labels},
        macs=_kernel_macs(call.output_shapes[0], axis, layer.kernel_size, [carried]),
    )


def _bias(layer, labels):
    return [(layer.bias, {0: labels})] if layer.use_bias else []


def _kernel_macs(shape, axis, kernel_size, factors):
    positions = spatial_size(shape, axis)
    return None if positions is None else [(positions * int(np.prod(kernel_size)), factors)]
