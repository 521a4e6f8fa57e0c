"""Ranking: from a saliency for every channel to the masks that meet a budget.

"global" scope ranks all channels of the network by saliency per cost, the loss a channel is worth
divided by the MACs (or params) that go with it, and removes from the bottom. What a channel
costs depends on how many its neighbours have left, so removal goes in rounds, each with the costs
of the one before. A last portion that costs more than is still to go stays where others lose less.
"layer" scope takes the same fraction from every group, its least salient channels. Both honour a
floor for each group and remove in portions that leave a multiple of `round_to`; neither takes the
last channel of a part that cannot go altogether, such as one side of a split.
"""

import dataclasses
import difflib
import numbers
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from keras_cascade.graph import ChannelGraph
from keras_cascade.typing import Bools, Budget, Scope

_ROUNDS = 10
_SCOPES = ("global", "layer")


class Ranking:
    """Turns saliency into keep vectors under one budget.

    Args:
        graph: `ChannelGraph`.
        budget: "macs", "params" or "channels": what an amount is a fraction of.
        scope: "global" or "layer".
        round_to: the channels kept in a group are a multiple of this (or all of them).
        min_channels: at least this many channels stay in each group.
        keep: names of layers or groups to leave whole: the channels a layer makes or puts out.
        per_cost: whether "global" scope ranks by saliency per cost, as losses want it, or by the
            saliency as it is, as shares of a group want it.

    Attributes:
        groups: list of the `ChannelGroup`s that may lose channels.

    Raises:
        ValueError: an unknown budget or scope, a `round_to` or `min_channels` below 1, an unknown
            name in `keep`, or a model in which nothing can be pruned.
    """

    def __init__(
        self,
        graph: ChannelGraph,
        budget: Budget = "macs",
        scope: Scope = "global",
        round_to: int = 1,
        min_channels: int = 4,
        keep: str | Iterable[str] = (),
        per_cost: bool = True,
    ) -> None:
        if scope not in _SCOPES:
            raise ValueError(f"Unknown scope {scope!r}: use 'global' or 'layer'.")
        for name, value in (("round_to", round_to), ("min_channels", min_channels)):
            if not isinstance(value, numbers.Integral) or value < 1:
                raise ValueError(f"{name} must be an int of at least 1, got {value!r}.")
        if not graph.prunable_groups:
            reasons = "; ".join(f"{group.name}: {group.reason}" for group in graph.groups[:5])
            raise ValueError(
                f"Nothing in model '{graph.model.name}' can be pruned ({reasons}). "
                "print(ChannelGraph(model).summary()) shows why; register_rule teaches a layer."
            )
        self.graph, self.budget, self.scope = graph, budget, scope
        self.round_to, self.min_channels = round_to, min_channels
        self.per_cost = per_cost
        self._cost = graph.cost(budget)
        self._whole = self._cost.total(graph.keep_vector())
        self._kept_whole = _groups_of(graph, keep)
        self.groups = [g for g in graph.prunable_groups if g.name not in self._kept_whole]
        self._sizes = np.array([group.size for group in self.groups], int)
        stay = np.array([self._most_that_must_stay(group) for group in self.groups], int)
        floors = _round_up(np.maximum(min_channels, stay), round_to)
        self._floors = np.minimum(floors, self._sizes)
        every_unit = np.arange(graph.num_units)
        self._units = np.concatenate([every_unit[:0], *(every_unit[g.units] for g in self.groups)])
        self._group_of = np.repeat(np.arange(len(self.groups)), self._sizes)

    def removed(self, keep: Bools) -> float:
        """The fraction of the budget that a keep vector removes."""
        return 1.0 - self._cost.total(keep) / self._whole

    def reachable(self) -> float:
        """The largest amount that the floors allow."""
        saliency = self._with_indispensable(np.zeros(self.graph.num_units))
        return self.removed(self._keeper(saliency)(self._floors))

    def check(self, amount: float, argument: str = "amount") -> None:
        """Raises a ValueError unless `amount` lies in (0, 1) and the floors allow it."""
        if not 0.0 < amount < 1.0:
            raise ValueError(f"{argument} must lie between 0 and 1, got {amount}.")
        reachable = self.reachable()
        if amount > reachable:
            rounded_down = np.floor(1e4 * reachable) / 1e4
            whole = f", {', '.join(self._kept_whole)} left whole" if self._kept_whole else ""
            raise ValueError(
                f"{argument}: {amount:.2%} of the {self.budget} cannot be removed from "
                f"'{self.graph.model.name}'; with min_channels={self.min_channels} and "
                f"round_to={self.round_to}{whole} at most {rounded_down:.2%} can. "
                f"Lower the {argument}, min_channels or round_to"
                f"{', or keep fewer layers whole' if whole else ''}."
            )

    def keep(
        self,
        saliency: ArrayLike,
        amount: float,
        at_most: bool = False,
        among: Bools | None = None,
    ) -> Bools:
        """The keep vector that removes `amount` of the budget, or just more.

        Args:
            saliency: float array of shape `(units,)`; the larger, the more a channel matters.
            amount: fraction of the budget to remove, in [0, 1); what the floors do not allow is
                not removed.
            at_most: whether to remove just less instead.
            among: bool array of shape `(units,)`, an earlier keep vector: what it has removed
                stays removed. None: all.

        Returns:
            bool array of shape `(units,)`.
        """
        among = self.graph.keep_vector() if among is None else among
        saliency = np.where(among, np.asarray(saliency, float), -np.inf)
        saliency = self._with_indispensable(saliency)
        goal = self._whole * (1.0 - amount)
        if self._cost.total(among) <= goal:
            return among.copy()
        if self.scope == "layer":
            return among & self._layerwise(saliency, goal, at_most)
        keep = among.copy()
        for stage in np.linspace(amount / _ROUNDS, amount, _ROUNDS)[: None if at_most else -1]:
            keep = self._remove_almost(keep, saliency, self._whole * (1.0 - stage))
        return keep if at_most else self._remove_enough(keep, saliency, goal, among)

    def miss(self, keep: Bools, amount: float) -> str:
        """Why a keep vector misses its amount by more than 1% of the budget; "" if it does not."""
        got = self.removed(keep)
        if abs(got - amount) <= 0.01:
            return ""
        if got > amount:
            cause = "rounding: whole portions of channels are removed"
        elif amount > self.reachable():
            cause = "floors"
        else:
            cause = "pruning has not come to its end"
        return (
            f"asked for {amount:.1%} of the {self.budget}, removed {got:.1%} ({cause}; "
            f"min_channels={self.min_channels}, round_to={self.round_to})"
        )

    def _most_that_must_stay(self, group):
        """At most how many units of a group `_with_indispensable` singles out."""
        touching = [
            units[(units >= group.units.start) & (units < group.units.stop)]
            for _, units in self.graph.indispensable
        ]
        return min(sum(len(units) > 0 for units in touching), group.size)

    def _with_indispensable(self, saliency):
        """The saliency with one unit, the best, of each part that cannot go set to infinity."""
        saliency = saliency.copy()
        for _, units in sorted(self.graph.indispensable, key=lambda part: len(part[1])):
            saliency[units[np.argmax(saliency[units])]] = np.inf
        return saliency

    def _remove_almost(self, keep, saliency, goal):
        """Removes the portions of least saliency per cost while the cost stays above `goal`."""
        if self._cost.total(keep) <= goal:
            return keep
        portions = self._portions(keep, self._per_cost(keep, saliency))
        without = portions.removed_from(keep)
        return without(max(self._enough(without, portions, goal) - 1, 0))

    def _remove_enough(self, keep, saliency, goal, among):
        """Removes the portions of least saliency per cost until the cost is at most `goal`.

        A last one that costs far more than is still needed stays, where others which together cost
        enough are worth less.
        """
        portions = self._portions(keep, self._per_cost(keep, saliency))
        best, least = keep, np.inf
        while True:
            without = portions.removed_from(keep)
            enough = self._enough(without, portions, goal)
            lowered = self._put_back(without(enough), saliency, goal, among)
            lost = saliency[among & ~lowered].sum()
            if not lost < least:
                return best
            best, least = lowered, lost
            if not enough:
                return best
            portions.leave_from(portions.order[enough - 1])

    def _enough(self, without, portions, goal):
        return _first(lambda count: self._cost.total(without(count)) <= goal, len(portions.scores))

    def _portions(self, keep, per_cost):
        """The `_Portions` that may go: in each group, ascending, each leaving a multiple."""
        present = keep[self._units]
        units, group_of = self._units[present], self._group_of[present]
        ascending = np.lexsort((per_cost[units], group_of))
        units, group_of = units[ascending], group_of[ascending]
        ends = np.cumsum(np.bincount(group_of, minlength=len(self._sizes)))
        left = ends[group_of] - 1 - np.arange(len(units))  # when this unit and those below are out
        left -= left % self.round_to
        removable = left >= self._floors[group_of]
        units, group_of, left = units[removable], group_of[removable], left[removable]
        starts = np.flatnonzero(np.diff(group_of, prepend=-1) | np.diff(left, prepend=-1))
        sizes = np.diff(starts, append=len(units))
        portion_of = np.repeat(np.arange(len(starts)), sizes)
        values = per_cost[units]
        means = np.bincount(portion_of, values) / sizes
        # Rounding must not put a portion before the one below it.
        scores = np.clip(means, values[starts], values[starts + sizes - 1])
        return _Portions(units, portion_of, group_of[starts], scores)

    def _put_back(self, keep, saliency, goal, among):
        """Returns what a costly portion removed later made needless to remove, best first."""
        per_cost = self._per_cost(keep, saliency)
        worth, waiting = {}, {}

        def look_at(group):
            units = self._last_removed(group, keep, per_cost)
            if len(units) and among[units].all():
                waiting[group.name], worth[group.name] = units, per_cost[units].mean()

        for group in self.groups:
            look_at(group)
        while waiting and goal - self._cost.total(keep) > 0.001 * self._whole:
            best = max(waiting, key=worth.get)
            portion = waiting.pop(best)
            restored = keep.copy()
            restored[portion] = True
            # If it does not fit, what is less salient in its group must stay out too.
            if self._cost.total(restored) <= goal:
                keep = restored
                look_at(self.graph[best])
        return keep

    def _last_removed(self, group, keep, per_cost):
        """The most salient removed channels of a group that together fill up a portion."""
        removed = group.first_unit + np.flatnonzero(~keep[group.units])
        kept = group.size - len(removed)
        goal = min((kept // self.round_to + 1) * self.round_to, group.size)
        return removed[np.argsort(-per_cost[removed], kind="stable")][: goal - kept]

    def _per_cost(self, keep, saliency):
        if not self.per_cost:
            return saliency
        return saliency / np.maximum(self._cost.per_unit(keep), 1e-30)

    def _layerwise(self, saliency, goal, at_most):
        def counts(fraction):
            kept = _round_up(np.ceil((1.0 - fraction) * self._sizes).astype(int), self.round_to)
            return np.clip(kept, self._floors, self._sizes)

        keep_counts = self._keeper(saliency)

        def cost(kept):
            return self._cost.total(keep_counts(kept))

        steps = 4096
        enough = _first(lambda step: cost(counts(step / steps)) <= goal, steps)
        kept, lower = counts(max(enough - 1, 0) / steps), counts(enough / steps)
        if at_most:
            return keep_counts(kept)
        # Groups of one size lose a channel at the same fraction: take only as many as needed.
        for index in np.flatnonzero(lower < kept):
            if cost(kept) <= goal:
                break
            kept[index] = lower[index]
        return keep_counts(kept)

    def _keeper(self, saliency):
        """The function from counts to the keep vector of each group's most salient channels."""
        units = self._units[np.lexsort((saliency[self._units], self._group_of))]
        places_from_top = np.cumsum(self._sizes)[self._group_of] - np.arange(len(units))

        def keep_counts(kept):
            keep = self.graph.keep_vector()
            keep[units] = places_from_top <= kept[self._group_of]
            return keep

        return keep_counts


def _groups_of(graph, names):
    """Names of the prunable groups whose channels the named layers (or groups) make or put out."""
    names = (names,) if isinstance(names, str) else tuple(names)
    tensors = {}
    for call in graph.trace.calls:
        tensors.setdefault(call.name, []).extend(call.outputs)
    known = [*dict.fromkeys([*tensors, *(group.name for group in graph.groups)])]
    put_out = np.zeros(graph.num_units, bool)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise ValueError(
                f"keep: model '{graph.model.name}' has no layer or channel group {name!r}; "
                f"{hint or 'print(ChannelGraph(model).summary()) lists the groups.'}"
            )
        for tensor in tensors.get(name, ()):
            if not graph.channels[tensor].fixed:
                put_out[graph.units_at(graph.channels[tensor].labels)] = True
    return [
        group.name
        for group in graph.prunable_groups
        if put_out[group.units].any() or {group.name, *group.producers} & set(names)
    ]


@dataclasses.dataclass
class _Portions:
    """Channels of one group each that go together.

    Attributes:
        units: int array, the units in all of them.
        portion_of: int array as long, the portion each unit is in.
        group_of: int array, each portion's group.
        scores: float array, each portion's mean saliency per cost; within a group it never falls.
    """

    units: np.ndarray
    portion_of: np.ndarray
    group_of: np.ndarray
    scores: np.ndarray

    @property
    def order(self):
        """The portions, those of least score first."""
        return np.argsort(self.scores, kind="stable")

    def removed_from(self, keep):
        """The function from a count to `keep` without so many portions of least score."""
        turn = np.empty(len(self.scores), int)
        turn[self.order] = np.arange(len(self.scores))
        turn_of_unit = turn[self.portion_of]

        def without(count):
            lowered = keep.copy()
            lowered[self.units[turn_of_unit < count]] = False
            return lowered

        return without

    def leave_from(self, portion):
        """Puts a portion, and those of its group that go after it, behind all others."""
        after = np.arange(len(self.scores)) >= portion
        self.scores[after & (self.group_of == self.group_of[portion])] = np.inf


def _round_up(counts, multiple):
    return -(-counts // multiple) * multiple


def _first(holds, last):
    """The smallest n in 0..last for which `holds(n)`, taken to be monotone; else `last`."""
    low, high = 0, last
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
