"""Normalisation: statistics of each channel, or over the channels that are there."""

import keras
from keras import ops

from keras_cascade.graph.rules.axes import positive_axes
from keras_cascade.graph.rules.flow import Flow, KeepWhole
from keras_cascade.graph.rules.registry import known, register_rule


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

    def normal(layer, x, mean):
        return _standardised(x, mean, layer.epsilon), layer.gamma, layer.beta

    return _normalisation_over_channels(layer, inputs, call, normal)


@register_rule(*known(keras.layers, "RMSNormalization"))
def rms_normalization(layer, inputs, call):
    """As LayerNormalization, without a mean."""

    def normal(layer, x, mean):
        return x * ops.rsqrt(mean(ops.square(x)) + layer.epsilon), layer.scale, None

    return _normalisation_over_channels(layer, inputs, call, normal)


@register_rule(keras.layers.GroupNormalization)
def group_normalization(layer, inputs, call):
    """Mean and variance over each group of channels; every group is cut alike."""
    x = call.along(inputs[0], layer.axis)
    weights = [(variable, {0: x.labels}) for variable in layer.weights]
    if layer.groups == len(x):  # instance normalisation: each channel by itself
        return Flow([call.same(x)], weights=weights, config={"groups": x.labels})
    call.couple_groups(x.labels, layer.groups)
    split = (layer.groups, len(x) // layer.groups)

    def masked_call(layer, mask_of, inputs):
        last = ops.moveaxis(_wide(inputs), x.axis, -1)
        grouped = ops.reshape(last, (*ops.shape(last)[:-1], *split))
        group_axis = len(grouped.shape) - 2
        over = [axis for axis in range(1, len(grouped.shape)) if axis != group_axis]
        mean = _mean_of_kept(ops.reshape(mask_of(x.labels), split), over, grouped.dtype)
        normal = ops.reshape(_standardised(grouped, mean, layer.epsilon), ops.shape(last))
        normal = ops.moveaxis(normal, -1, x.axis)
        return _scaled(normal, layer.gamma, layer.beta, [x.axis], layer.compute_dtype)

    return Flow([call.same(x)], weights=weights, masked_call=masked_call)


def _normalisation_over_channels(layer, inputs, call, normal):
    """The flow of a layer that normalises over `layer.axis`, the channels perhaps among it.

    Args:
        normal: function `(layer, x, mean) -> (normalised, scale, offset)`, where `mean` is the
            mean over the layer's axes of what is kept.
    """
    (x,) = inputs
    axes = positive_axes(layer.axis, len(x.shape))
    if x.fixed:
        x = call.along(x, axes[-1])
    if x.axis not in axes:
        return Flow([call.same(x)])
    frame = [len(x) if axis == x.axis else 1 for axis in range(len(x.shape))]

    def masked_call(layer, mask_of, inputs):
        wide = _wide(inputs)
        mean = _mean_of_kept(ops.reshape(mask_of(x.labels), frame), axes, wide.dtype)
        return _scaled(*normal(layer, wide, mean), axes, layer.compute_dtype)

    weights = [(variable, {axes.index(x.axis): x.labels}) for variable in layer.weights]
    return Flow([call.same(x)], weights=weights, masked_call=masked_call)


def _wide(inputs):
    """In float32 at least, as Keras normalises."""
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    return ops.cast(inputs, keras.backend.result_type(dtype, "float32"))


def _mean_of_kept(mask, axes, dtype):
    """The function that takes the mean, over some axes, of what the mask keeps.

    `mask` has the size of the channel axis (or axes) and broadcasts over the others.
    """
    keep = ops.cast(mask, dtype)
    share = ops.mean(keep)
    return lambda values: ops.mean(values * keep, axis=axes, keepdims=True) / share


def _standardised(x, mean, epsilon):
    centred = x - mean(x)
    return centred * ops.rsqrt(mean(ops.square(centred)) + epsilon)


def _scaled(normal, scale, offset, axes, dtype):
    """Times the scale and plus the offset, which run along `axes`, where there are any."""
    frame = [size if axis in axes else 1 for axis, size in enumerate(normal.shape)]
    if scale is not None:
        normal = normal * ops.reshape(ops.cast(scale, normal.dtype), frame)
    if offset is not None:
        normal = normal + ops.reshape(ops.cast(offset, normal.dtype), frame)
    return ops.cast(normal, dtype)
