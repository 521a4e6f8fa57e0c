"""Normalisation: statistics of each channel, or over the channels that are there."""

import keras
from keras import ops

from keras_cascade.graph.rules.registry import (
    Flow,
    KeepWhole,
    known,
    positive_axes,
    register_rule,
)


@register_rule(keras.layers.BatchNormalization)
def batch_normalization(layer, inputs, call):
    """Each channel is scaled and shifted by itself, by weights of its own."""
    x = call.along(inputs[0], layer.axis)
    return Flow([call.same(x)], weights=[(variable, {0: x.labels}) for variable in layer.weights])


@register_rule(keras.layers.Normalization)
def normalization(layer, inputs, call):
    """As BatchNormalization, with statistics adapted to data; constants given by hand stay."""
    axes = [] if layer.axis is None else positive_axes(layer.axis, len(inputs[0].shape))
    if not axes and layer.input_mean is None:
        return Flow([call.same(inputs[0])])
    if layer.input_mean is not None or len(axes) > 1:
        raise KeepWhole("Normalization with fixed or several axes' statistics")
    x = call.along(inputs[0], axes[0])
    statistics = [variable for variable in layer.weights if variable.shape == (len(x),)]
    return Flow([call.same(x)], weights=[(variable, {0: x.labels}) for variable in statistics])


@register_rule(keras.layers.UnitNormalization)
def unit_normalization(layer, inputs, call):
    """Divides by the Euclidean norm: a channel of zeros is as good as none."""
    (x,) = inputs
    mixes = x.axis in positive_axes(layer.axis, len(x.shape))
    return Flow([call.same(x)], reads=(0,) if mixes else ())


@register_rule(keras.layers.LayerNormalization)
def layer_normalization(layer, inputs, call):
    """Mean and variance over the channels that are there."""
    if layer.rms_scaling:
        raise KeepWhole("LayerNormalization with rms_scaling")
    x, axes, weights = _normalised_axes(layer, inputs[0], call)
    if x.axis not in axes:
        return Flow([call.same(x)])

    def masked_call(layer, mask_of, inputs):
        wide = ops.cast(inputs, "float32")
        keep, scale = _keep(mask_of(x.labels), x)
        mean = scale * ops.mean(wide * keep, axis=axes, keepdims=True)
        variance = scale * ops.mean(keep * ops.square(wide - mean), axis=axes, keepdims=True)
        normal = (wide - mean) * ops.rsqrt(variance + layer.epsilon)
        return _scaled(normal, layer.gamma, layer.beta, inputs.shape, axes, layer.compute_dtype)

    return Flow([call.same(x)], weights=weights, masked_call=masked_call)


@register_rule(*known(keras.layers, "RMSNormalization"))
def rms_normalization(layer, inputs, call):
    """As LayerNormalization, without a mean."""
    x, axes, weights = _normalised_axes(layer, inputs[0], call)
    if x.axis not in axes:
        return Flow([call.same(x)])

    def masked_call(layer, mask_of, inputs):
        wide = ops.cast(inputs, "float32")
        keep, scale = _keep(mask_of(x.labels), x)
        power = scale * ops.mean(keep * ops.square(wide), axis=axes, keepdims=True)
        normal = wide * ops.rsqrt(power + layer.epsilon)
        return _scaled(normal, layer.scale, None, inputs.shape, axes, layer.compute_dtype)

    return Flow([call.same(x)], weights=weights, masked_call=masked_call)


@register_rule(keras.layers.GroupNormalization)
def group_normalization(layer, inputs, call):
    """Mean and variance over each group of channels; every group is cut alike."""
    x = call.along(inputs[0], layer.axis)
    weights = [(variable, {0: x.labels}) for variable in layer.weights]
    if layer.groups == len(x):  # instance normalisation: each channel by itself
        return Flow([call.same(x)], weights=weights, config={"groups": x.labels})
    places = x.labels.reshape(layer.groups, -1)
    for place in places[1:]:
        call.couple(places[0], place)

    def masked_call(layer, mask_of, inputs):
        last = ops.moveaxis(ops.cast(inputs, "float32"), x.axis, -1)
        mask = mask_of(x.labels)
        split = (layer.groups, len(x) // layer.groups)
        grouped = ops.reshape(last, (*ops.shape(last)[:-1], *split))
        keep, scale = ops.reshape(mask, split), len(x) / ops.sum(mask)
        over = [axis for axis in range(1, len(grouped.shape)) if axis != len(grouped.shape) - 2]
        mean = scale * ops.mean(grouped * keep, axis=over, keepdims=True)
        variance = scale * ops.mean(keep * ops.square(grouped - mean), axis=over, keepdims=True)
        normal = (grouped - mean) * ops.rsqrt(variance + layer.epsilon)
        normal = ops.moveaxis(ops.reshape(normal, ops.shape(last)), -1, x.axis)
        return _scaled(normal, layer.gamma, layer.beta, inputs.shape, [x.axis], layer.compute_dtype)

    return Flow([call.same(x)], weights=weights, masked_call=masked_call)


def _normalised_axes(layer, x, call):
    """The input along its channels, the axes normalised over, and the weights that follow."""
    axes = positive_axes(layer.axis, len(x.shape))
    if x.fixed:
        x = call.along(x, axes[-1])
    place = axes.index(x.axis) if x.axis in axes else None
    labelled = [] if place is None else [(v, {place: x.labels}) for v in layer.weights]
    return x, axes, labelled


def _keep(mask, x):
    """The mask along the channel axis, and what turns a mean over all into one over the kept."""
    frame = [1] * len(x.shape)
    frame[x.axis] = len(x)
    return ops.reshape(mask, frame), len(x) / ops.sum(mask)


def _scaled(normal, scale, offset, shape, axes, dtype):
    frame = [size if axis in axes else 1 for axis, size in enumerate(shape)]
    if scale is not None:
        normal = normal * ops.reshape(ops.cast(scale, normal.dtype), frame)
    if offset is not None:
        normal = normal + ops.reshape(ops.cast(offset, normal.dtype), frame)
    return ops.cast(normal, dtype)
