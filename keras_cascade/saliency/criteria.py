"""Criteria that score channels from the weights alone, for one-shot pruning.

A criterion is a function from a `ChannelGraph` to one score a unit. The gradient criterion of the
cascade is not here: it is read off the gates while training.
"""

import numpy as np
from keras import ops


def l1(graph):
    """Sum of the absolute weights of all filters that make a channel.

    Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, section 3.1; where several
    layers make the channel together (an Add), their norms are added.

    Args:
        graph: `ChannelGraph`.

    Returns:
        float array of shape `(units,)`.
    """
    return _filter_sums(graph, np.abs)


def l2(graph):
    """Root of the sum of squares of all filters that make a channel; as `l1` else."""
    return np.sqrt(_filter_sums(graph, np.square))


def random(graph, seed=0):
    """A uniform random score: the yardstick any criterion must beat.

    Args:
        graph: `ChannelGraph`.
        seed: int.

    Returns:
        float array of shape `(units,)`.
    """
    return np.random.default_rng(seed).random(graph.num_units)


CRITERIA = {"l1": l1, "l2": l2, "random": random}


def _filter_sums(graph, magnitude):
    scores = np.zeros(graph.num_units)
    for variable, axis, units in graph.filters():
        kernel = magnitude(ops.convert_to_numpy(variable).astype(float))
        others = tuple(other for other in range(kernel.ndim) if other != axis)
        np.add.at(scores, units, kernel.sum(axis=others))
    return scores
