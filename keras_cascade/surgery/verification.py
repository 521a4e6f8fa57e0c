"""Verification: every call of the smaller model gives what the masked model's gives.

The masked model is run on a random batch. Every call is made twice, whole with its gates and
remade with fewer channels, each time on the values the masked model has there; so a difference
shows at the call that makes it, on its own scale, however deep the network and however small its
outputs.
"""

import functools

import keras
import numpy as np
from keras import ops, tree
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask

from keras_cascade.graph.comparison import (
    OriginalFails,
    compare_on_random,
    difference,
    largest,
    original,
    tolerance_of,
)
from keras_cascade.graph.tracing import TracedTensor, replay
from keras_cascade.surgery.full_precision import full_precision
from keras_cascade.surgery.random_states import (
    assign,
    random_states,
    random_states_kept,
    values_of,
)
from keras_cascade.surgery.views import FixedMasks, masked_computation

TOLERANCE = 1e-5
# An attention or a recurrent layer makes several contractions in a row, and sends the rounding of
# the first through an exponential or many steps.
SEVERAL = 10


class SurgeryError(RuntimeError):
    """A layer could not be rebuilt, or the extracted model differs from the masked one."""


def verify(graph, keep, remade, stand_in, twins):
    """Compares a smaller model with the masked one, call by call, in inference mode.

    Args:
        graph: `ChannelGraph`.
        keep: bool array of shape `(units,)`.
        remade: function from a `Call` to what the smaller model calls in its place.
        stand_in: dict from the `id` of a layer to the one that the masked model calls.
        twins: dict from the `id` of an operation to the smaller model's.

    Raises:
        SurgeryError: a weight is NaN or infinite, or a call's outputs differ by more than 1e-5 of
            the largest value it reads or gives (ten times that for attention and recurrent
            layers, more in half precision), or the masked model cannot be run on random batches.
    """
    _check_finite(graph, stand_in)
    comparison = _Comparison(graph, keep, remade, stand_in, twins)

    def compare(batch):
        inputs = list(map(ops.convert_to_tensor, batch))
        replay(graph.trace, inputs, comparison.checked, comparison.gate)

    try:
        with full_precision(), random_states_kept(comparison.operations):
            compare_on_random(graph.trace.inputs, compare)
    except OriginalFails as failure:
        raise SurgeryError(
            "The extracted model cannot be verified, since the masked one fails on random batches, "
            f"at layer {failure}. Pass verify=False, and compare with kc.masked_view on data of "
            "your own."
        ) from failure.args[1]


class _Comparison:
    """Runs the masked model call by call, each beside the smaller model's. Arguments: `verify`."""

    def __init__(self, graph, keep, remade, stand_in, twins):
        self._graph, self._keep, self._remade = graph, keep, remade
        self._stand_in, self._twins = stand_in, twins
        self._gates = FixedMasks(graph, keep)
        self._tolerance = tolerance_of(graph.trace, TOLERANCE)

    @property
    def operations(self):
        """All that is called, of both models."""
        return [*map(self._source, self._graph.trace.calls), *self._twins.values()]

    def gate(self, call, tensor, value):
        """A value as a call of the masked model reads it."""
        channels = self._graph.gated(call).get(tensor)
        if channels is None:
            return value
        return self._gates.place(self._graph.units_at(channels.labels), channels.axis)(value)

    def checked(self, call):
        """What the masked model calls, which makes the smaller model's call too and compares."""

        def run(*args, **kwargs):
            fewer_args, fewer_kwargs = tree.map_structure(
                lambda tensor, value: (
                    self._cut(tensor, value) if isinstance(tensor, TracedTensor) else value
                ),
                (call.args, call.kwargs),
                (args, kwargs),
            )
            masked = self._masked(call, args, kwargs)
            states = values_of(random_states(self._source(call)))
            expected = masked()
            assign(random_states(self._twins[id(call.operation)]), states)
            got = _in_inference(call, self._remade(call))(*fewer_args, **fewer_kwargs)
            scale = max([_largest(leaf) for leaf in tree.flatten((args, kwargs))], default=0.0)
            self._compare(call, masked, expected, got, scale)
            return expected

        return run

    def _source(self, call):
        return self._stand_in.get(id(call.operation), call.operation)

    def _masked(self, call, args, kwargs):
        """A function that makes a call of the masked model and gives its outputs."""
        operation = self._source(call)
        if self._graph.mixes_inside(call):
            computed = masked_computation(self._graph, call, self._mask_of)
            operation = functools.partial(computed, operation)
        operation = _in_inference(call, operation)

        def masked():
            with original(call):
                return operation(*args, **kwargs)

        return masked

    def _compare(self, call, masked, expected, got, scale):
        """Raises unless outputs are equal; where the masked call's are random, alike in shape."""
        allowed = self._tolerance * (SEVERAL if self._graph.flow(call).inner_reads else 1)
        outputs = zip(call.outputs, tree.flatten(expected), tree.flatten(got), strict=True)
        for index, (tensor, one, other) in enumerate(outputs):
            smaller = self._cut(tensor, one)
            message = _difference(smaller, other, scale, allowed)
            if message is None:
                continue
            if tuple(smaller.shape) == tuple(other.shape):
                again = tree.flatten(masked())[index]
                if _difference(one, again, scale, allowed) is not None:  # from itself
                    continue
            raise SurgeryError(
                f"The extracted model differs from the masked model, first at layer '{call.name}' "
                f"({type(call.operation).__name__}): {message}. If a rule of your own covers this "
                "layer, it states the layer's channels wrongly."
            )

    def _mask_of(self, labels):
        return self._gates.vector(self._graph.units_at(labels))

    def _cut(self, tensor, value):
        """The kept channels of a value of the masked model."""
        channels = self._graph.channels[tensor]
        if channels.fixed:
            return value
        kept = np.flatnonzero(self._keep[self._graph.units_at(channels.labels)])
        smaller = ops.take(value, kept, axis=channels.axis)
        if get_keras_mask(value) is not None:
            set_keras_mask(smaller, get_keras_mask(value))
        return smaller


def _check_finite(graph, stand_in):
    """Raises if a weight is NaN, which would equal NaN and tell nothing, or has become infinite."""
    for name, layer in graph.trace.layers.items():
        for weight in stand_in.get(id(layer), layer).weights:
            if not keras.backend.is_float_dtype(weight.dtype):
                continue
            array = ops.convert_to_numpy(weight)
            # What is not trained may be infinite by design: a mask of -inf.
            if np.isnan(array).any() or (weight.trainable and np.isinf(array).any()):
                raise SurgeryError(
                    f"Layer '{name}' ({type(layer).__name__}) has NaN or infinite values in its "
                    f"weight '{weight.path}': its training has diverged, say. Take weights from "
                    "before that (kc.FiniteLossGuard keeps them), or pass verify=False."
                )


def _difference(expected, got, scale, tolerance):
    return difference(*map(ops.convert_to_numpy, (expected, got)), scale, tolerance)


def _largest(value):
    """The largest finite magnitude in a float tensor; 0 for anything else."""
    return largest(ops.convert_to_numpy(value)) if hasattr(value, "dtype") else 0.0


def _in_inference(call, operation):
    """The operation in inference mode, also where the model fixes training."""
    if "training" not in call.kwargs:
        return operation
    return lambda *args, **kwargs: operation(*args, **{**kwargs, "training": False})
