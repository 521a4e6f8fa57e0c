"""Nested models: which of them a trace dissolves into its calls, and what they do with inputs.

A nested model is called in two ways that its own graph does not show: it gives what it gets the
dtype and the rank of its inputs, and it may be called with a mask or with `training`.
"""

import keras
from keras import ops, tree
from keras.src.models.functional import Functional


def nested_functional(operation):
    """The graph of a nested model, or None where there is none that can be read."""
    if isinstance(operation, keras.Sequential) and not _overrides_call(operation):
        return operation._functional
    if isinstance(operation, Functional) and not _overrides_call(operation):
        return operation
    return None


def dissolved(operation, arguments):
    """The graph of a nested model, or None where the operation is to be kept as one call.

    A model called with a mask sets it on its inputs, and `training` reaches layers inside others
    that do not take it themselves: no list of calls would say so. One called with more than it
    takes, as a dict may hold, leaves inputs without a reader, which Keras 3.12 refuses in a model.

    Args:
        operation: of a call.
        arguments: the call's, as a dict from name to value.
    """
    nested = nested_functional(operation)
    if nested is None or len(tree.flatten(arguments["inputs"])) != len(nested.inputs):
        return None
    masks = tree.flatten(arguments.get("mask"))  # of several inputs, one each
    if any(mask is not None for mask in masks):
        return None
    if arguments.get("training") is not None and not _all_take_training(nested):
        return None
    return nested


def given_inputs(nested, arguments):
    """What a nested model is called with, in the order of its own inputs.

    Args:
        nested: its graph.
        arguments: of the call, as a dict from name to value.
    """
    given = arguments["inputs"]
    if isinstance(given, dict) and not isinstance(nested.input, dict):
        return [given[name] for name in input_names(nested)]
    return tree.flatten(given)


def adapted(given, own):
    """What a nested model makes of a tensor it is given: cast, or with an axis more or less.

    Args:
        given: `keras.KerasTensor`.
        own: the nested model's input for it, likewise.

    Returns:
        List of `keras.KerasTensor`s, each made of the one before by an operation; empty where
        the tensor is taken as it is.
    """
    steps = []
    if given.dtype != own.dtype:
        steps.append(ops.cast(given, own.dtype))
    last = (steps or [given])[-1]
    if len(last.shape) == len(own.shape) + 1:
        steps.append(ops.squeeze(last, axis=-1))
    elif len(last.shape) == len(own.shape) - 1:
        steps.append(ops.expand_dims(last, axis=-1))
    return steps


def input_names(model):
    """The names of a functional model's inputs."""
    return [tensor._keras_history.operation.name for tensor in model.inputs]


def _all_take_training(functional):
    """Whether no layer hides, behind a call without `training`, one that has it."""

    def takes(layer):
        nested = nested_functional(layer)
        if nested is not None:
            return _all_take_training(nested)
        inside = layer._flatten_layers()
        return layer._call_has_training_arg or not any(one._call_has_training_arg for one in inside)

    return all(map(takes, functional.layers))


def _overrides_call(model):
    """Whether a subclass replaced what its recorded graph says."""
    return type(model).call not in (Functional.call, keras.Sequential.call)
