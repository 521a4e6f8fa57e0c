"""Patterns of zeros: what is found missing, and what is none of theirs."""

import numpy as np
import pytest

from keras_cascade.sparsity.zeros import Pattern, in_blocks


def _with_zeros(count, shape=(10, 20)):
    weight = np.ones(np.prod(shape), "float32")
    weight[:count] = 0.0
    return np.random.default_rng(0).permutation(weight).reshape(shape)


def test_a_weight_may_have_more_zeros_than_were_asked_but_not_fewer():
    pattern = Pattern(0.5)
    for zeros in (99, 100, 150):
        pattern.check_zeros("layer", _with_zeros(zeros), _with_zeros(100))
    with pytest.raises(RuntimeError, match="'layer' has 49.00% zeros instead of 50.00%"):
        pattern.check_zeros("layer", _with_zeros(98), _with_zeros(100))


def test_a_mask_may_not_take_more_than_was_asked():
    with pytest.raises(RuntimeError, match="'layer' has 60.00% zeros instead of 50.00%"):
        Pattern(0.5).check_zeros("layer", _with_zeros(120), _with_zeros(102))


def test_a_small_weight_may_miss_its_share_by_one():
    Pattern(0.5).check_zeros("layer", _with_zeros(1, (1, 3)), _with_zeros(1, (1, 3)))
    with pytest.raises(RuntimeError):
        Pattern(0.5).check_zeros("layer", _with_zeros(0, (1, 3)), _with_zeros(0, (1, 3)))


def test_blocks_at_the_edge_count_as_blocks():
    weight = np.ones((3, 3))
    weight[2] = 0.0  # two of four blocks of (2, 2), cut off by the edge
    np.testing.assert_array_equal((in_blocks(weight, (2, 2)) == 0).all(-1), [0, 0, 1, 1])
    Pattern(0.5, (2, 2)).check_zeros("layer", weight, weight)


def test_two_by_four_counts_along_the_input_channels():
    weight = np.zeros((1, 1, 8, 2))
    weight[..., [0, 1, 4, 5], :] = 1.0
    pattern = Pattern(0.5, two_by_four=True)
    pattern.check_zeros("layer", weight, weight)
    weight[..., 2, 1] = 1.0
    with pytest.raises(RuntimeError, match="more than two non-zeros in four"):
        pattern.check_zeros("layer", weight, weight)
