"""Comparison: whether two calls give the same, on the scale of what they read and gave.

Models that are made anew are proven so, call by call on a random batch.
"""

import contextlib

import keras
import numpy as np

# What dimensions become that a model leaves open, the size to be preferred first.
_OPEN_SIZES = 64, 32, 16, 8, 4, 2, 1
_EXAMPLES = 2  # where the model leaves open how many
_WORDS = "OSU"  # the kinds of NumPy's dtypes that hold them
EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def difference(expected, got, scale, tolerance):
    """What differs between two arrays: in shape, in NaN and infinities, and beyond a tolerance.

    Args:
        expected, got: arrays of numbers, or of words.
        scale: the largest magnitude that the calls read.
        tolerance: of |difference|, relative to the larger of `scale` and what is expected.

    Returns:
        String, or None where nothing does.
    """
    if expected.shape != got.shape:
        return f"shape {got.shape} instead of {expected.shape}"
    if expected.dtype.kind in _WORDS:  # equal or not
        expected, got = np.zeros(expected.shape), expected != got
    expected, got = np.asarray(expected, "float64"), np.asarray(got, "float64")
    same = (expected == got) | (np.isnan(expected) & np.isnan(got))
    with np.errstate(invalid="ignore"):  # infinity less infinity, where both are the same
        largest_difference = np.max(np.where(same, 0.0, np.abs(expected - got)), initial=0.0)
    limit = tolerance * max(scale, largest(expected))
    if largest_difference <= limit:
        return None
    return f"max |difference| {largest_difference:.3g}, allowed {limit:.3g}"


def largest(array):
    """The largest finite magnitude in an array of floats; 0 for anything else."""
    if array.dtype.kind in _WORDS or not keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(array.dtype)
    ):
        return 0.0
    array = np.asarray(array, "float64")
    return float(np.max(np.abs(array[np.isfinite(array)]), initial=0.0))


def tolerance_of(traced, in_float32):
    """A relative tolerance for a `Trace`: layers in half precision round more coarsely."""
    dtypes = {getattr(call.operation, "compute_dtype", None) for call in traced.calls}
    return max([in_float32, *(8 * EPSILON[dtype] for dtype in dtypes & set(EPSILON))])


class OriginalFails(Exception):
    """A call of the model that another is compared with raises. Arguments: `Call` and error."""

    def __str__(self):
        call, error = self.args
        return f"'{call.name}' ({type(call.operation).__name__}): {type(error).__name__}: {error}"


@contextlib.contextmanager
def original(call):
    """Within it a `Call` of the model that another is compared with is made."""
    try:
        yield
    except Exception as error:
        raise OriginalFails(call, error) from error


def compare_on_random(tensors, compare, masked_step=False):
    """Compares on a random batch, and on smaller ones for as long as the original itself fails.

    Args:
        tensors: the `TracedTensor`s that the model takes.
        compare: function from a list of arrays, which makes the original's calls in `original`.
        masked_step: as for `random_batches`.

    Raises:
        OriginalFails: on every batch; that of the first.
    """
    failures = []
    for batch in random_batches(tensors, masked_step):
        try:
            return compare(batch)
        except OriginalFails as failure:
            failures.append(failure)
    raise failures[0]


def random_batches(tensors, masked_step=False):
    """Random arrays for traced inputs, with ever smaller open dimensions where there are any.

    A model may leave the number of steps open and yet have positions for so many only.

    Args:
        tensors: list of `TracedTensor`.
        masked_step: whether the last step of the first example is 0, which a Masking layer masks.

    Yields:
        Lists of arrays, one for each of `tensors`.
    """
    are_open = any(None in tensor.shape[1:] for tensor in tensors)
    for size in _OPEN_SIZES if are_open else _OPEN_SIZES[:1]:
        yield [_random_array(tensor, masked_step, size) for tensor in tensors]


def _random_array(tensor, masked_step, open_size):
    shape = [tensor.shape[0] or _EXAMPLES] + [size or open_size for size in tensor.shape[1:]]
    random = np.random.default_rng(0)
    if tensor.dtype == "string":
        return random.choice(["", "a", "b c"], shape).astype(object)
    if not keras.backend.is_float_dtype(tensor.dtype):
        return random.integers(0, 2, shape).astype(tensor.dtype)
    values = random.standard_normal(shape)
    if masked_step and len(shape) > 2:
        values[0, -1] = 0.0
    return values.astype(tensor.dtype)
