"""Layers and op nodes that take several tensors: merges, concatenations, products."""

import dataclasses

import keras
import numpy as np
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer
from keras.src.ops import numpy as numpy_ops

from keras_cascade.graph.channels import Channels
from keras_cascade.graph.rules.axes import spatial_size
from keras_cascade.graph.rules.flow import Flow, KeepWhole
from keras_cascade.graph.rules.registry import known, register_rule


@register_rule(
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Multiply,
    keras.layers.Subtract,
    CustomScaleLayer,
)
def merge(layer, inputs, call):
    """Channel i of the result needs channel i of every input: they go together."""
    if getattr(layer, "_reshape_required", False):  # Keras puts in axes after the examples'
        inputs = [_widened(x, call, place=1) for x in inputs]
    return Flow([merged(inputs, call)])


_BINARY_OPERATIONS = known(
    numpy_ops,
    "Add Subtract Multiply Divide TrueDivide FloorDivide Power Mod Maximum Minimum Arctan2 Hypot "
    "Logaddexp Equal NotEqual Greater GreaterEqual Less LessEqual LogicalAnd LogicalOr",
)


@register_rule(*_BINARY_OPERATIONS, arguments=("x1", "x2"))
@register_rule(numpy_ops.Where, arguments=("condition", "x1", "x2"))
def elementwise_operation(operation, inputs, call):
    """As `merge`; constants may have fewer axes."""
    return Flow([merged([_widened(x, call) if x.constant else x for x in inputs], call)])


def _widened(x, call, place=0):
    """A tensor of as many axes as the result, those that it lacks put in at a place."""
    more = len(call.output_shapes[0]) - len(x.shape)
    shape = (*x.shape[:place], *[1] * more, *x.shape[place:])
    return dataclasses.replace(x, shape=shape, axis=None if x.axis is None else x.axis + more)


def merged(inputs, call):
    """The `Channels` of tensors merged element by element, with broadcasting.

    Args:
        inputs: list of `Channels`.
        call: `CallContext`; the channels that meet are coupled in it.

    Returns:
        The `Channels` of output 0.

    Raises:
        KeepWhole: the tensors' channels run along different axes.
    """
    moving = [x for x in inputs if not x.fixed]
    if not moving:
        return call.fixed()
    rank = len(call.output_shapes[0])
    if any(len(x.shape) != rank for x in inputs):
        raise KeepWhole(f"{call.kind} of tensors of different rank")
    first = max(moving, key=len)
    if len(first) < call.output_shapes[0][first.axis]:
        for x in moving:
            call.pin(x.labels, f"{call.kind} broadcasts it over channels")
        return call.fixed()
    for x in inputs:
        if x.shape[first.axis] == 1 and (x.constant or len(first) > 1):
            # One value for all channels. A channel of the model cannot go while they stay.
            if x.axis == first.axis:
                call.pin(x.labels, f"{call.kind} broadcasts it over channels")
            elif not x.fixed:
                raise KeepWhole(f"{call.kind} of differing channel axes")
        else:
            call.couple(first.labels, call.along(x, first.axis).labels)
    return call.output(first.labels, first.axis)


@register_rule(keras.layers.Concatenate, numpy_ops.Concatenate)
def concatenate(layer, inputs, call):
    """Channels side by side, or, along another axis, the same channels' positions."""
    moving = next((x for x in inputs if not x.fixed), None)
    if moving is None:
        return Flow([call.fixed()])
    inputs = [call.along(x, moving.axis) for x in inputs]
    if layer.axis % len(moving.shape) == moving.axis:
        return Flow([call.output(np.concatenate([x.labels for x in inputs]), moving.axis)])
    for other in inputs:
        call.couple(moving.labels, other.labels)
    return Flow([call.output(moving.labels, moving.axis)])


@register_rule(keras.layers.Dot)
def dot(layer, inputs, call):
    """Sums over one axis of both tensors: sound where those are the channels of both."""
    axes = (layer.axes, layer.axes) if isinstance(layer.axes, int) else layer.axes
    first, second = (call.along(x, a) for x, a in zip(inputs, axes, strict=True))
    call.couple(first.labels, second.labels)
    positions = spatial_size(call.output_shapes[0], 0)
    macs = None if positions is None else [(positions, [first.labels])]
    return Flow([call.fixed()], reads=(0, 1), macs=macs)


@register_rule(keras.layers.Attention, keras.layers.AdditiveAttention)
def attention(layer, inputs, call):
    """Query and key meet channel by channel and are summed; the value's channels are carried."""
    query, value = (call.along(x) for x in inputs[:2])
    key = call.along(inputs[2]) if len(inputs) > 2 else value
    call.couple(query.labels, key.labels)
    scale = getattr(layer, "scale", None)
    per_channel = scale is not None and len(scale.shape) == 1
    outputs = [Channels(call.output_shapes[0], value.axis, value.labels, value.fixed)]
    outputs += [call.fixed(index) for index in range(1, len(call.output_shapes))]
    steps = (query.shape[1], key.shape[1])
    pairs = None if None in steps else int(np.prod(steps))
    return Flow(
        outputs,
        weights=[(scale, {0: query.labels})] if per_channel else [],
        reads=(0, 1 if len(inputs) == 2 else 2),
        macs=None if pairs is None else [(pairs, [query.labels]), (pairs, [value.labels])],
    )
