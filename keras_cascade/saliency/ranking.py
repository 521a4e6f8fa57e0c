"""Ranking: from a saliency for every channel to the masks that meet a budget.

"global" scope ranks all channels of the network by saliency per cost, the loss a channel is worth
divided by the MACs (or params) that go with it, and removes from the bottom. What a channel
costs depends on how many its neighbours have left, so removal goes in rounds, each with the costs
of the one before. "layer" scope takes the same fraction from every group, its least salient
channels. Both honour a floor for each group and remove in portions that leave a multiple of
`round_to`.
"""

import numbers

import numpy as np

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

    Raises:
        ValueError: an unknown budget or scope, a `round_to` or `min_channels` below 1, or a model
            in which nothing can be pruned.
    """

    def __init__(self, graph, budget="macs", scope="global", round_to=1, min_channels=4):
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
        self._cost = graph.cost(budget)
        self._whole = self._cost.total(graph.keep_vector())
        groups = graph.prunable_groups
        self._sizes = np.array([group.size for group in groups])
        stay = [self._most_that_must_stay(group) for group in groups]
        floors = _round_up(np.maximum(min_channels, stay), round_to)
        self._floors = np.minimum(floors, self._sizes)
        self._units = np.concatenate([np.arange(graph.num_units)[g.units] for g in groups])
        self._group_of = np.repeat(np.arange(len(groups)), self._sizes)

    def removed(self, keep):
        """The fraction of the budget that a keep vector removes."""
        return 1.0 - self._cost.total(keep) / self._whole

    def reachable(self):
        """The largest amount that the floors allow."""
        return self.removed(self._keep_counts(np.zeros(self.graph.num_units), self._floors))

    def check(self, amount, argument="amount"):
        """Raises a ValueError unless `amount` lies in (0, 1) and the floors allow it."""
        if not 0.0 < amount < 1.0:
            raise ValueError(f"{argument} must lie between 0 and 1, got {amount}.")
        reachable = self.reachable()
        if amount > reachable:
            rounded_down = np.floor(1e4 * reachable) / 1e4
            raise ValueError(
                f"{argument}: {amount:.2%} of the {self.budget} cannot be removed from "
                f"'{self.graph.model.name}'; with min_channels={self.min_channels} and "
                f"round_to={self.round_to} at most {rounded_down:.2%} can. "
                f"Lower the {argument}, min_channels or round_to."
            )

    def keep(self, saliency, amount):
        """The keep vector that removes `amount` of the budget, or just more.

        Args:
            saliency: float array of shape `(units,)`; the larger, the more a channel matters.
            amount: fraction of the budget to remove, in [0, 1); what the floors do not allow is
                not removed.

        Returns:
            bool array of shape `(units,)`.
        """
        saliency = self._with_indispensable(np.asarray(saliency, float))
        if amount <= 0.0:
            return self.graph.keep_vector()
        if self.scope == "layer":
            return self._layerwise(saliency, self._whole * (1.0 - amount))
        keep = self.graph.keep_vector()
        for stage in np.linspace(amount / _ROUNDS, amount, _ROUNDS):
            keep = self._remove_lowest(keep, saliency, self._whole * (1.0 - stage))
        return self._put_back(keep, saliency, self._whole * (1.0 - amount))

    def miss(self, keep, amount):
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

    def _remove_lowest(self, keep, saliency, goal):
        """Removes the portions of least saliency per cost until the cost is at most `goal`."""
        if self._cost.total(keep) <= goal:
            return keep
        per_cost = saliency / np.maximum(self._cost.per_unit(keep), 1e-30)
        portions, scores = [], []
        for group, floor in zip(self.graph.prunable_groups, self._floors, strict=True):
            units = np.flatnonzero(keep[group.units]) + group.first_unit
            ascending = units[np.argsort(per_cost[units], kind="stable")]
            cuts = _portion_ends(len(units), int(floor), self.round_to)
            pieces = np.split(ascending[: cuts[-1]], cuts[:-1]) if len(cuts) else []
            portions.extend(pieces)
            # A portion cannot go before the one below it in its group.
            scores.extend(np.maximum.accumulate([per_cost[piece].mean() for piece in pieces]))
        order = np.argsort(scores, kind="stable")

        def without(count):
            lowered = keep.copy()
            if count:
                lowered[np.concatenate([portions[index] for index in order[:count]])] = False
            return lowered

        enough = _first(lambda count: self._cost.total(without(count)) <= goal, len(order))
        return without(enough)

    def _put_back(self, keep, saliency, goal):
        """Returns what a costly portion removed later made needless to remove, best first."""
        per_cost = saliency / np.maximum(self._cost.per_unit(keep), 1e-30)
        waiting = {
            g.name: self._last_removed(g, keep, per_cost) for g in self.graph.prunable_groups
        }
        while goal - self._cost.total(keep) > 0.001 * self._whole:
            waiting = {name: portion for name, portion in waiting.items() if len(portion)}
            if not waiting:
                break
            best = max(waiting, key=lambda name: per_cost[waiting[name]].mean())
            restored = keep.copy()
            restored[waiting[best]] = True
            if self._cost.total(restored) <= goal:
                keep = restored
                waiting[best] = self._last_removed(self.graph[best], keep, per_cost)
            else:  # what is less salient in this group must stay out too
                del waiting[best]
        return keep

    def _last_removed(self, group, keep, per_cost):
        """The most salient removed channels of a group that together fill up a portion."""
        units = np.arange(group.first_unit, group.first_unit + group.size)
        removed, kept = units[~keep[units]], int(keep[units].sum())
        goal = min((kept // self.round_to + 1) * self.round_to, group.size)
        return removed[np.argsort(-per_cost[removed], kind="stable")][: goal - kept]

    def _layerwise(self, saliency, goal):
        def counts(fraction):
            kept = _round_up(np.ceil((1.0 - fraction) * self._sizes).astype(int), self.round_to)
            return np.clip(kept, self._floors, self._sizes)

        def cost(kept):
            return self._cost.total(self._keep_counts(saliency, kept))

        steps = 4096
        enough = _first(lambda step: cost(counts(step / steps)) <= goal, steps)
        kept, lower = counts(max(enough - 1, 0) / steps), counts(enough / steps)
        # Groups of one size lose a channel at the same fraction: take only as many as needed.
        for index in np.flatnonzero(lower < kept):
            if cost(kept) <= goal:
                break
            kept[index] = lower[index]
        return self._keep_counts(saliency, kept)

    def _keep_counts(self, saliency, kept):
        """The keep vector with the `kept[i]` most salient channels of each group i."""
        order = np.lexsort((saliency[self._units], self._group_of))
        starts = np.repeat(np.cumsum(self._sizes) - self._sizes, self._sizes)
        place = np.arange(len(order)) - starts
        keep = self.graph.keep_vector()
        keep[self._units[order]] = place >= np.repeat(self._sizes - kept, self._sizes)
        return keep


def _portion_ends(size, floor, round_to):
    """Ends of the portions in which a group of `size` may shrink to `floor`."""
    kept = np.arange(size - 1, floor - 1, -1)
    return size - kept[kept % round_to == 0]


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
