"""Verification: every call of a twin gives what the original's call gives.

The original is run on a random batch. Every call is made twice, by the original's operation and by
its twin, each time on the values the original has there; so a difference shows at the call that
makes it, on its own scale, however deep the network and however small its outputs. Masks are
those that the twin's own calls make: where they get lost on the way, the next reader differs.
"""

import keras
import numpy as np
from keras import ops, tree

from keras_cascade.graph.tracing import TracedTensor, replay
from keras_cascade.sparsity.toolkit import import_tf_keras

TOLERANCE = 1e-6
EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def verify(traced, twin_of):
    """Compares the calls of a Keras 3 model with those of its tf_keras twin, in inference mode.

    Args:
        traced: `Trace` of the Keras 3 model.
        twin_of: function from a `Call` to what tf_keras calls in its place.

    Raises:
        ValueError: a call's outputs differ by more than 1e-6 of the largest value it reads or
            gives (more in half precision).
    """
    tf, _ = import_tf_keras()
    masks = {}
    tolerance = _tolerance(traced)

    def moved(tensor, value):
        """A value for the twin, with the mask that the twin's own call gave it."""
        if not isinstance(tensor, TracedTensor):
            return value
        value = tf.convert_to_tensor(ops.convert_to_numpy(value))
        if masks.get(tensor) is not None:
            value._keras_mask = masks[tensor]
        return value

    def checked(call):
        def run(*args, **kwargs):
            arguments = tree.map_structure(moved, (call.args, call.kwargs), (args, kwargs))
            kwargs = {key: value for key, value in kwargs.items() if key != "training"}
            expected = call.operation(*args, **kwargs)
            got = tree.flatten(twin_of(call)(*arguments[0], **arguments[1]))
            masks.update(
                (tensor, getattr(value, "_keras_mask", None))
                for tensor, value in zip(call.outputs, got, strict=True)
            )
            scale = max([_largest(leaf) for leaf in tree.flatten((args, kwargs))], default=0.0)
            for one, other in zip(tree.flatten(expected), got, strict=True):
                _compare(call, ops.convert_to_numpy(one), other.numpy(), scale, tolerance)
            return expected

        return run

    replay(traced, [_random_batch(tensor) for tensor in traced.inputs], checked)


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


def _largest(value):
    """The largest finite magnitude in a float tensor; 0 for anything else."""
    if not hasattr(value, "dtype") or not keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(value.dtype)
    ):
        return 0.0
    array = np.asarray(ops.convert_to_numpy(value), "float64")
    return float(np.max(np.abs(array[np.isfinite(array)]), initial=0.0))


def _tolerance(traced):
    """Relative to float32's; layers that compute in half precision round more coarsely."""
    dtypes = {getattr(layer, "compute_dtype", None) for layer in traced.layers.values()}
    return max([TOLERANCE, *(8 * EPSILON[dtype] for dtype in dtypes & set(EPSILON))])


def _random_batch(tensor, examples=2, open_size=64):
    """A batch for a traced input; unknown dimensions become `open_size`."""
    shape = [tensor.shape[0] or examples] + [size or open_size for size in tensor.shape[1:]]
    random = np.random.default_rng(0)
    if not keras.backend.is_float_dtype(tensor.dtype):
        return ops.convert_to_tensor(random.integers(0, 2, shape), dtype=tensor.dtype)
    values = random.standard_normal(shape)
    if len(shape) > 2:
        values[0, -1] = 0.0  # a step that a Masking layer would mask
    return ops.convert_to_tensor(values, dtype=tensor.dtype)
