"""Grouping: the labels of a walked model become units, and units become channel groups.

A *unit* is a channel that can only be removed as a whole: all labels coupled with one another. A
*block* is what one layer drew at once; blocks that share a unit, near or far, are one group. Units
are numbered group by group, so that a group is a slice of the keep vector.
"""

import dataclasses

import numpy as np

from keras_cascade.graph.tracing import free_name
from keras_cascade.typing import Bools, Ints


@dataclasses.dataclass(frozen=True)
class ChannelGroup:
    """Channels that can only be removed together.

    Attributes:
        name: stable name, that of the first producing layer.
        size: number of channels.
        prunable: whether channels may be removed.
        reason: why not; empty for a prunable group.
        producers: names of the layers whose filters the channels are.
        consumers: names of the layers that read the channels.
        first_unit: where the group's channels start in the graph's keep vector.
    """

    name: str
    size: int
    prunable: bool
    reason: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    first_unit: int

    @property
    def units(self) -> slice:
        """The slice of the keep vector that holds the group's channels."""
        return slice(self.first_unit, self.first_unit + self.size)

    def __str__(self) -> str:
        state = "prunable" if self.prunable else f"kept whole ({self.reason})"
        return (
            f"{self.name}: {self.size} channels, {state}; made by {', '.join(self.producers)}; "
            f"read by {', '.join(self.consumers) or 'nothing'}"
        )


@dataclasses.dataclass(frozen=True)
class Grouping:
    """What the labels of a model come to.

    Attributes:
        groups: list of `ChannelGroup`, in the order of their first producing layers.
        num_units: number of units, those of fixed tensors included.
        unit_of: int array, the unit of every label.
        prunable_units: bool array of shape `(num_units,)`.
        indispensable: list of `(layer name, units)`: parts of a group, such as one side of a
            split, of which at least one unit must stay.
    """

    groups: list[ChannelGroup]
    num_units: int
    unit_of: Ints
    prunable_units: Bools
    indispensable: list[tuple[str, Ints]]


def group_channels(walked) -> Grouping:
    """Joins what a walk coupled.

    Args:
        walked: a `Walk`.

    Returns:
        A `Grouping`.
    """
    space = walked.space
    roots = space.units()
    block_of_root = space.blocks(roots)[space.block_of(roots)]
    consumers, reasons = _consumers(walked, block_of_root), {}
    for labels, reason in space.pinned():
        for block in np.unique(block_of_root[labels]):
            reasons.setdefault(int(block), reason)
    groups, names, unit_of, start = [], set(), np.empty(len(roots), int), 0
    for block, members in _members(block_of_root):
        units, place = np.unique(roots[members], return_inverse=True)
        unit_of[members] = start + place
        makers = [space.makers[b] for b in np.unique(space.block_of(members))]
        makers = [maker for maker in makers if maker is not None]
        if makers:
            group = ChannelGroup(
                free_name(str(makers[0]), names),
                len(units),
                block not in reasons,
                reasons.get(block, ""),
                tuple(dict.fromkeys(maker.layer for maker in makers)),
                tuple(consumers.get(block, ())),
                start,
            )
            groups.append(group)
            names.add(group.name)
        start += len(units)
    prunable_units = np.zeros(start, bool)
    for group in groups:
        prunable_units[group.units] = group.prunable
    indispensable = _indispensable(walked, groups, unit_of, prunable_units)
    return Grouping(groups, start, unit_of, prunable_units, indispensable)


def _members(block_of_root):
    """Pairs of each block and the labels in it, ascending."""
    order = np.argsort(block_of_root, kind="stable")
    blocks, starts = np.unique(block_of_root[order], return_index=True)
    return zip(blocks.tolist(), np.split(order, starts[1:]), strict=True) if len(order) else ()


def _consumers(walked, block_of_root):
    """For every block, the names of the layers that read channels of it."""
    consumers = {}
    for call, flow in walked.flows.items():
        read = [walked.channels[tensor].labels for tensor in walked.reads[call]]
        read += [labels for _, _, labels in flow.inner_reads]
        for labels in read:
            for block in () if labels is None else np.unique(block_of_root[labels]).tolist():
                names = consumers.setdefault(block, [])
                if call.name not in names:
                    names.append(call.name)
    return consumers


def _indispensable(walked, groups, unit_of, prunable_units):
    """Parts of groups that are all a tensor or a weight has, and so cannot go altogether."""
    wanted = [(name, labels, True) for labels, name in walked.space.needed()]
    for call, flow in walked.flows.items():
        made = [channels.labels for channels in flow.outputs if not channels.fixed]
        made += [labels for _, axes in flow.weights for labels in axes.values()]
        wanted += [(call.name, labels, False) for labels in made]
    sizes = np.zeros(len(prunable_units), int)  # of the group that starts at a unit
    for group in groups:
        sizes[group.first_unit] = group.size
    seen, parts = set(), []
    for name, labels, even_whole in wanted:
        units = np.unique(unit_of[labels])
        if units.tobytes() in seen or not prunable_units[units].all():
            continue
        seen.add(units.tobytes())
        starts = units[sizes[units] > 0]
        ends = np.searchsorted(units, starts + sizes[starts])
        holds_a_group = (ends - np.searchsorted(units, starts) == sizes[starts]).any()
        if even_whole or not holds_a_group:
            parts.append((name, units))
    return parts
