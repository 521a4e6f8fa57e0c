"""Verification: every call of a twin gives what the original's call gives.

The original is run on a random batch. Every call is made twice, by the original's operation and by
its twin, each time on the values the original has there; so a difference shows at the call that
makes it, on its own scale, however deep the network and however small its outputs. Masks are
those that the twin's own calls make: where they get lost on the way, the next reader differs.
"""

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

TOLERANCE = 1e-6


def verify(traced, twin_of, source_tensor, target_tensor):
    """Compares the calls of a model with those of its twin, in inference mode.

    Args:
        traced: the model's `Trace`.
        twin_of: function from a `Call` to what the other library calls in its place.
        source_tensor, target_tensor: functions from an array to a tensor of the model's library,
            and of the other.

    Raises:
        ValueError: a call's outputs differ by more than 1e-6 of the largest value it reads or
            gives (more in half precision), or the model itself cannot be run on random batches.
    """
    masks = {}
    tolerance = tolerance_of(traced, TOLERANCE)

    def checked(call):
        def run(*args, **kwargs):
            scales = [0.0]

            def moved(tensor, value):
                """A value for the twin, with the mask that the twin's own call gave it."""
                if not isinstance(tensor, TracedTensor):
                    return value
                scales.append(largest(_array(value)))
                value = target_tensor(_array(value))
                if masks.get(tensor) is not None:
                    set_keras_mask(value, masks[tensor])
                return value

            twins_args, twins_kwargs = tree.map_structure(
                moved, (call.args, call.kwargs), (args, kwargs)
            )
            kwargs.pop("training", None)
            with original(call):
                given = call.operation(*args, **kwargs)
            got = tree.flatten(twin_of(call)(*twins_args, **twins_kwargs))
            masks.update(zip(call.outputs, map(get_keras_mask, got), strict=True))
            for one, other in zip(tree.flatten(given), got, strict=True):
                _compare(call, _array(one), _array(other), max(scales), tolerance)
            return given

        return run

    try:
        compare_on_random(
            traced.inputs,
            lambda batch: replay(traced, list(map(source_tensor, batch)), checked),
            masked_step=True,
        )
    except OriginalFails as failure:
        raise ValueError(
            "The model cannot be compared with its twin, since it fails on random batches, at "
            f"layer {failure}. Give its inputs fixed sizes that all its layers take, or pass "
            "verify=False where there is one."
        ) from failure.args[1]


def _compare(call, expected, got, scale, tolerance):
    message = difference(expected, got, scale, tolerance)
    if message is None:
        return
    raise ValueError(
        f"tf_keras and Keras 3 mean different things by the same name, first at '{call.name}' "
        f"({type(call.operation).__name__}): {message}. Replace this layer by others that compute "
        "the same."
    )


def _array(tensor):
    return ops.convert_to_numpy(tensor) if ops.is_tensor(tensor) else np.asarray(tensor)
