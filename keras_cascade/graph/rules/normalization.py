"""Normalisation with one set of statistics a channel."""

import keras
import numpy as np

from keras_cascade.graph.rules.registry import Flow, register_rule


@register_rule(keras.layers.BatchNormalization)
def batch_normalization(layer, inputs, call):
    """Each channel is scaled and shifted by itself, by weights of its own."""
    (x,) = inputs
    if layer.axis % len(x.shape) != x.axis:
        return call.keep_whole(inputs, "BatchNormalization over an axis that is not the channels'")
    return Flow([call.same(x)], weights=[(variable, {0: x.labels}) for variable in layer.weights])


@register_rule(keras.layers.Normalization)
def normalization(layer, inputs, call):
    """As BatchNormalization, with statistics adapted to data; constants given by hand stay."""
    (x,) = inputs
    axes = [
        axis % len(x.shape) for axis in np.atleast_1d(layer.axis if layer.axis is not None else ())
    ]
    if not axes and layer.input_mean is None:
        return Flow([call.same(x)])
    if layer.input_mean is not None or axes != [x.axis]:
        return call.keep_whole(inputs, "Normalization with fixed or several axes' statistics")
    statistics = [variable for variable in layer.weights if variable.shape == (len(x),)]
    return Flow([call.same(x)], weights=[(variable, {0: x.labels}) for variable in statistics])
