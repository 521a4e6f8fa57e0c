"""Criteria that score channels from the weights alone, for one-shot pruning.

A criterion is a function from a `ChannelGraph` to one score a unit, larger = more important, NaN
where it has none. Norms say how strong a channel is beside the others of its group: kernels
of another shape give other norms, so across groups they mean nothing until `group_shares` has
made them shares of their group. `taylor` (its own module) estimates losses, which compare as
they are. The gradient criterion of the cascade is not here: it is read off the gates
while training.
"""

import keras
import numpy as np
from keras import ops

from keras_cascade.graph import ChannelGraph
from keras_cascade.typing import Floats


def l1(graph: ChannelGraph) -> Floats:
    """Sum of the absolute weights of all filters that make a channel.

    Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, section 3.1; where several
    layers make the channel together (an Add), their norms are added.

    Args:
        graph: `ChannelGraph`.

    Returns:
        float array of shape `(units,)`.
    """
    return _filter_sums(graph, np.abs)


def l2(graph: ChannelGraph) -> Floats:
    """Root of the sum of squares of all filters that make a channel; as `l1` else."""
    return np.sqrt(_filter_sums(graph, np.square))


def bn_scale(graph: ChannelGraph) -> Floats:
    """Sum of |gamma| over the BatchNormalizations that a channel runs through.

    Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", ICCV 2017,
    section 3. There an L1 penalty on gamma while training makes the scores tell; without one they
    tell less. A channel without such a layer gets NaN, and `prune` then refuses unless its
    group is kept whole: any number put in its place would rank it by nothing it has.

    Args:
        graph: `ChannelGraph`.

    Returns:
        float array of shape `(units,)`.
    """
    scores = np.full(graph.num_units, np.nan)
    for call, flow in graph.first_flows():
        if not isinstance(call.operation, keras.layers.BatchNormalization):
            continue
        axes_of = {id(variable): axes for variable, axes in flow.weights}
        for labels in axes_of.get(id(call.operation.gamma), {}).values():
            units = graph.units_at(labels)
            scores[units] = np.nan_to_num(scores[units])
            np.add.at(scores, units, np.abs(ops.convert_to_numpy(call.operation.gamma)))
    return scores


def fpgm(graph: ChannelGraph) -> Floats:
    """Sum of the distances of a filter to all other filters of its layer: how hard to replace.

    He et al., "Filter Pruning via Geometric Median for Deep Convolutional Neural Networks
    Acceleration", CVPR 2019, section 3.3, with Euclidean distances; where several layers make the
    channel, their sums are added.

    Args:
        graph: `ChannelGraph`.

    Returns:
        float array of shape `(units,)`.
    """
    scores = np.zeros(graph.num_units)
    for variable, axis, units in graph.filters():
        kernel = ops.convert_to_numpy(variable).astype(float)
        filters = np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)
        filters = filters - filters.mean(axis=0)  # same distances, less cancellation
        products = filters @ filters.T
        norms = np.diag(products)
        squares = norms[:, None] + norms - 2.0 * products
        np.fill_diagonal(squares, 0.0)
        np.add.at(scores, units, np.sqrt(np.maximum(squares, 0.0)).sum(axis=1))
    return scores


def random(graph: ChannelGraph, seed: int = 0) -> Floats:
    """A uniform random score: the yardstick any criterion must beat.

    Args:
        graph: `ChannelGraph`.
        seed: int.

    Returns:
        float array of shape `(units,)`.
    """
    return np.random.default_rng(seed).random(graph.num_units)


def group_shares(graph: ChannelGraph, scores: Floats) -> Floats:
    """Makes scores that compare within a group only comparable over the network.

    A channel's score becomes its share of what its group has left when all weaker ones are gone,
    times the group's size: n s_c / sum of the s_j >= s_c. Equally strong channels then go in the
    same fraction from every group, groups with many weak ones give more, and since the share of a
    group's last channels approaches 1, none collapses before the others. The share is that of
    LAMP (Lee et al., "Layer-Adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021,
    section 3), there of squared weights in a layer; the factor n is ours.

    Args:
        graph: `ChannelGraph`.
        scores: float array of shape `(units,)`, not negative.

    Returns:
        float array of shape `(units,)`.
    """
    shares = np.zeros_like(scores)
    for group in graph.prunable_groups:
        order = group.first_unit + np.argsort(scores[group.units], kind="stable")
        left = np.cumsum(scores[order[::-1]])[::-1]
        shares[order] = group.size * scores[order] / np.maximum(left, np.finfo(float).tiny)
    return shares


CRITERIA = {"l2": l2, "l1": l1, "bn_scale": bn_scale, "fpgm": fpgm, "random": random}


def _filter_sums(graph, magnitude):
    scores = np.zeros(graph.num_units)
    for variable, axis, units in graph.filters():
        # Summed, not stored, in double precision: kernels can be large.
        kernel = magnitude(ops.convert_to_numpy(variable))
        others = tuple(other for other in range(kernel.ndim) if other != axis)
        np.add.at(scores, units, kernel.sum(axis=others, dtype=float))
    return scores
