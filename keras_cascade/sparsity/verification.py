"""Verification: every call of a twin gives what the original's call gives.

The original is run on a random batch. Every call is made twice, by the original's operation and by
its twin, each time on the values the original has there; so a difference shows at the call that
makes it, on its own scale, however deep the network and however small its outputs. Masks are
those that the twin's own calls make: where they get lost on the way, the next reader differs.
"""

import keras
import numpy as np
from keras import ops, tree
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask

from keras_cascade.graph.tracing import TracedTensor, replay

TOLERANCE = 1e-6
EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def verify(traced, twin_of, source_tensor, target_tensor):
    """Compares the calls of a model with those of its twin, in inference mode.

    Args:
        traced: the model's `Trace`.
        twin_of: function from a `Call` to what the other library calls in its place.
        source_tensor, target_tensor: functions from an array to a tensor of the model's library,
            and of the other.

    Raises:
        ValueError: a call's outputs differ by more than 1e-6 of the largest value it reads or
            gives (more in half precision).
    """
    masks = {}
    tolerance = _tolerance(traced)

    def checked(call):
        def run(*args, **kwargs):
            scales = [0.0]

            def moved(tensor, value):
                """A value for the twin, with the mask that the twin's own call gave it."""
                if not isinstance(tensor, TracedTensor):
                    return value
                scales.append(_largest(_array(value)))
                value = target_tensor(_array(value))
                if masks.get(tensor) is not None:
                    set_keras_mask(value, masks[tensor])
                return value

            twins_args, twins_kwargs = tree.map_structure(
                moved, (call.args, call.kwargs), (args, kwargs)
            )
            kwargs.pop("training", None)
            given = call.operation(*args, **kwargs)
            got = tree.flatten(twin_of(call)(*twins_args, **twins_kwargs))
            masks.update(zip(call.outputs, map(get_keras_mask, got), strict=True))
            for one, other in zip(tree.flatten(given), got, strict=True):
                _compare(call, _array(one), _array(other), max(scales), tolerance)
            return given

        return run

    replay(traced, [source_tensor(_random_batch(tensor)) for tensor in traced.inputs], checked)


def _compare(call, expected, got, scale, tolerance):
    expected, got = np.asarray(expected, "float64"), np.asarray(got, "float64")
    if expected.shape != got.shape:
        message = f"shape {got.shape} instead of {expected.shape}"
    else:
        same = (expected == got) | (np.isnan(expected) & np.isnan(got))
        difference = np.max(np.abs(np.where(same, 0.0, expected - got)), initial=0.0)
        limit = tolerance * max(scale, _largest(expected))
        if difference <= limit:
            return
        message = f"max |difference| {difference:.3g}, allowed {limit:.3g}"
    raise ValueError(
        f"tf_keras and Keras 3 mean different things by the same name, first at '{call.name}' "
        f"({type(call.operation).__name__}): {message}. Replace this layer by others that compute "
        "the same."
    )


def _array(tensor):
    return ops.convert_to_numpy(tensor) if ops.is_tensor(tensor) else np.asarray(tensor)


def _largest(array):
    """The largest finite magnitude in an array of floats; 0 for anything else."""
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(array.dtype)):
        return 0.0
    array = np.asarray(array, "float64")
    return float(np.max(np.abs(array[np.isfinite(array)]), initial=0.0))


def _tolerance(traced):
    """Relative to float32's; layers that compute in half precision round more coarsely."""
    dtypes = {getattr(call.operation, "compute_dtype", None) for call in traced.calls}
    return max([TOLERANCE, *(8 * EPSILON[dtype] for dtype in dtypes & set(EPSILON))])


def _random_batch(tensor, examples=2, open_size=64):
    """A batch for a traced input; unknown dimensions become `open_size`."""
    shape = [tensor.shape[0] or examples] + [size or open_size for size in tensor.shape[1:]]
    random = np.random.default_rng(0)
    if not keras.backend.is_float_dtype(tensor.dtype):
        return random.integers(0, 2, shape).astype(tensor.dtype)
    values = random.standard_normal(shape)
    if len(shape) > 2:
        values[0, -1] = 0.0  # a step that a Masking layer would mask
    return values.astype(tensor.dtype)
