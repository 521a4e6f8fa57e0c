"""Whether a model returns probabilities: its trace is read backwards from the output.

The call that makes an output need not be the last layer of the model: a softmax may lie in a nested
model or in an op node, and what follows it may only cast or reshape.
"""

import keras
from keras.src.ops import core as core_ops
from keras.src.ops import nn as nn_ops
from keras.src.ops import numpy as numpy_ops

from keras_cascade.graph.tracing import Alias, trace

_PROBABILITIES = (keras.layers.Softmax, nn_ops.Softmax, nn_ops.Sigmoid)
_FUNCTIONS = (
    keras.activations.softmax,
    keras.activations.sigmoid,
    keras.ops.softmax,
    keras.ops.sigmoid,
)
# What leaves probabilities probabilities: each value as it was, or the mean over several models.
_HANDING_ON = (
    keras.layers.Identity,
    keras.layers.ActivityRegularization,
    keras.layers.Dropout,
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.Permute,
    keras.layers.RepeatVector,
    keras.layers.Concatenate,
    keras.layers.Average,
    core_ops.Cast,
    core_ops.StopGradient,
    numpy_ops.Concatenate,
    numpy_ops.Copy,
    numpy_ops.ExpandDims,
    numpy_ops.Moveaxis,
    numpy_ops.Ravel,
    numpy_ops.Reshape,
    numpy_ops.Squeeze,
    numpy_ops.Swapaxes,
    numpy_ops.Transpose,
)


def returns_probabilities(model: keras.Model) -> bool:
    """Whether a model's output is a softmax or sigmoid, as far as its calls show.

    Args:
        model: a built Functional or Sequential `keras.Model`; of several outputs the first counts.

    Returns:
        bool; False where a layer of unknown kind makes the output.

    Raises:
        TypeError: a subclassed model, which has no graph.
        ValueError: the model is not built.
    """
    try:
        traced = trace(model)
    except TypeError:
        if not getattr(model, "outputs", None):
            raise
        # A `call` of its own hides what is computed; what was recorded last is all there is.
        return _makes_probabilities(model.outputs[0]._keras_history.operation)
    makers = {tensor: call for call in traced.calls for tensor in call.outputs}
    return _are_probabilities(traced.outputs[0], makers)


def _are_probabilities(tensor, makers):
    """Whether a traced tensor holds probabilities; `makers` says which call made it."""
    call = makers.get(tensor)
    if call is None:  # an input of the model
        return False
    if _makes_probabilities(call.operation):
        return True
    return _hands_on(call.operation) and all(
        _are_probabilities(each, makers) for each in call.inputs
    )


def _makes_probabilities(operation):
    """Whether what an operation (or an activation, which may be a layer) gives is probabilities."""
    if isinstance(operation, Alias | keras.layers.Wrapper):
        return _makes_probabilities(operation.layer)
    if isinstance(operation, keras.Model):
        return bool(getattr(operation, "outputs", None)) and returns_probabilities(operation)
    if isinstance(operation, _PROBABILITIES) or any(operation is each for each in _FUNCTIONS):
        return True
    activation = getattr(operation, "activation", None)
    return activation is not None and _makes_probabilities(activation)


def _hands_on(operation):
    if isinstance(operation, Alias | keras.layers.Wrapper):
        return _hands_on(operation.layer)
    if isinstance(operation, keras.layers.Activation):
        return operation.activation is keras.activations.linear
    return isinstance(operation, _HANDING_ON)
