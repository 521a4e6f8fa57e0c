"""Folding: how many rows of a tensor are of one example.

A reshape may fold positions into the batch (the windows of an attention, the frames of a video).
What a layer costs there, it costs for every row. Operations that only move elements keep their
number; all others keep the rows of what they are given.
"""

import numpy as np
from keras.src.ops import numpy as numpy_ops

_MOVES = (
    numpy_ops.Reshape,
    numpy_ops.Transpose,
    numpy_ops.Moveaxis,
    numpy_ops.Swapaxes,
    numpy_ops.ExpandDims,
    numpy_ops.Squeeze,
)


def rows_of_an_example(traced):
    """Counts the rows of every tensor of a traced model.

    Args:
        traced: a `Trace`.

    Returns:
        Dict from `TracedTensor` to an int: as before where sizes that are open leave it unknown,
        and 1 where a row is of several examples.
    """
    elements = {tensor: _row_size(tensor) for tensor in traced.inputs}
    rows = dict.fromkeys(traced.inputs, 1)
    for call in traced.calls:
        given = max((rows[tensor] for tensor in call.inputs), default=1)
        for tensor in call.outputs:
            size = _row_size(tensor)
            if isinstance(call.operation, _MOVES) and call.inputs:
                elements[tensor] = elements[call.inputs[0]]
            else:
                elements[tensor] = size and size * given
            if not size or not elements[tensor]:
                rows[tensor] = given
            else:
                rows[tensor] = 1 if elements[tensor] % size else elements[tensor] // size
    return rows


def _row_size(tensor):
    """How many elements a row has; None if that is not fixed."""
    return None if None in tensor.shape[1:] else int(np.prod(tensor.shape[1:]))
