"""Two values are equal or not, on the scale of what was read and given."""

import numpy as np
import pytest

from keras_cascade.graph.comparison import difference, random_batches
from keras_cascade.graph.tracing import TracedTensor

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("expected", "got", "message"),
    [
        ([1.0, 2.0], [1.0, 2.0], None),
        ([1.0, 2.0], [1.0, 2.19], None),  # a tenth of the largest is allowed
        ([1.0, 2.0], [1.0, 2.3], "max |difference| 0.3, allowed 0.2"),
        ([1.0, NAN, INF, -INF], [1.0, NAN, INF, -INF], None),
        ([1.0, INF], [1.0, -INF], "max |difference| inf, allowed 0.1"),
        ([1.0, 2.0], [1.0, NAN], "max |difference| nan, allowed 0.2"),
        ([1.0, NAN], [1.0, 2.0], "max |difference| nan, allowed 0.1"),
        ([1.0, 2.0], [[1.0, 2.0]], "shape (1, 2) instead of (2,)"),
        (["a", "b"], ["a", "b"], None),
        (["a", "b"], ["a", "c"], "max |difference| 1, allowed 0"),
        ([], [], None),
    ],
)
def test_what_differs_is_said(expected, got, message):
    assert difference(np.array(expected), np.array(got), scale=0.0, tolerance=0.1) == message


def test_what_was_read_sets_the_scale_where_it_is_larger():
    one, other = np.array([1e-3]), np.array([2e-3])
    assert difference(one, other, scale=0.0, tolerance=1e-5) is not None
    assert difference(one, other, scale=1e3, tolerance=1e-5) is None


def test_open_dimensions_shrink_from_batch_to_batch():
    opened, whole = TracedTensor((None, None, 3), "float32"), TracedTensor((None, 3), "int32")
    shapes = [tuple(array.shape for array in batch) for batch in random_batches([opened, whole])]
    assert shapes == [((2, size, 3), (2, 3)) for size in (64, 32, 16, 8, 4, 2, 1)]
    assert len(list(random_batches([whole]))) == 1
