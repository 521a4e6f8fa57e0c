"""One-shot pruning: score the channels of a trained model once, cut, hand the smaller one back."""

import functools
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_cascade.graph import ChannelGraph
from keras_cascade.saliency.criteria import CRITERIA, group_shares
from keras_cascade.saliency.ranking import Ranking
from keras_cascade.saliency.taylor import taylor
from keras_cascade.surgery import Surgeon
from keras_cascade.typing import Budget, Criterion, Masks, Scope


def prune(
    model: keras.Model,
    amount: float,
    *,
    budget: Budget = "macs",
    criterion: Criterion = "l2",
    scope: Scope = "global",
    data: Any = None,
    loss: Any = None,
    round_to: int | None = None,
    min_channels: int = 1,
    keep: str | Iterable[str] = (),
    verify: bool = True,
) -> keras.Model:
    """Removes the least salient channels of a model in one go.

    The result has lost accuracy and wants fine-tuning; `Distiller` does that under the eyes of
    the unpruned model.

    Args:
        model: a built Functional or Sequential `keras.Model`; it is not changed.
        amount: fraction of the budget to remove, in (0, 1).
        budget: what `amount` is a fraction of: "macs" (of one example), "params", "channels",
            "latency" (on LiteRT, measured: `keras_cascade.deploy.LatencyTable`) or one that
            `register_budget` made.
        criterion: what makes a channel salient. "l2", "l1": the norm of its filters. "bn_scale":
            |gamma| of its BatchNormalization. "fpgm": how far its filter lies from the others.
            "taylor": the loss at stake, from `data` and `loss`. "random". Or a function from a
            `ChannelGraph` to a float array of shape `(graph.num_units,)`, larger = more
            important. `keras_cascade.saliency.criteria` and `.taylor` give each one's source.
        scope: "layer": the same fraction of every group. "global": ranked over the network.
            "taylor" and functions of one's own are ranked by score per cost; the other
            criteria, which compare within a group only, by share of what their group has left.
            Where much is to go, try both.
        data: for "taylor": `(x, y)` arrays, or batches that end (`tf.data.Dataset`, ...).
        loss: for "taylor": as for `keras.Model.compile`.
        round_to: kept channels are a multiple of this, in every group; None: any number.
        min_channels: at least this many channels stay in each group.
        keep: names of layers or channel groups to leave whole.
        verify: whether to check the result against the masked model.

    Returns:
        A functional `keras.Model` of plain layers.

    Raises:
        ValueError: unknown criterion, budget, scope or name in `keep`; an amount outside (0, 1) or
            beyond what the floors allow; a criterion without a score for a channel, or without
            the data it needs; a model in which nothing can be pruned.

    Example:

    ```python
    small = kc.prune(model, 0.5)
    better = kc.prune(model, 0.5, criterion="taylor", data=(x, y), loss=loss)
    ```
    """
    graph = ChannelGraph(model)
    scored = OneShot(
        graph,
        budget,
        criterion,
        scope=scope,
        data=data,
        loss=loss,
        round_to=round_to,
        min_channels=min_channels,
        keep=keep,
    )
    return Surgeon(model, graph).extract(scored.masks(amount), verify=verify)


def prune_masks(
    model: keras.Model,
    amount: float,
    *,
    budget: Budget = "macs",
    criterion: Criterion = "l2",
    scope: Scope = "global",
    data: Any = None,
    loss: Any = None,
    round_to: int | None = None,
    min_channels: int = 1,
    keep: str | Iterable[str] = (),
) -> Masks:
    """The masks by which `prune`, with the same arguments, cuts a model.

    Args:
        model, amount, budget, criterion, scope, data, loss, round_to, min_channels, keep: as for
            `prune`.

    Returns:
        Dict from each prunable group's name to a bool array of shape `(group.size,)`, True = keep.

    Raises:
        ValueError: as `prune`.

    Example:

    ```python
    masks = kc.prune_masks(model, 0.5)
    text = kc.ChannelGraph(model).to_json(masks)
    small = kc.Surgeon(model).extract(masks)
    ```
    """
    scored = OneShot(
        ChannelGraph(model),
        budget,
        criterion,
        scope=scope,
        data=data,
        loss=loss,
        round_to=round_to,
        min_channels=min_channels,
        keep=keep,
    )
    return scored.masks(amount)


class OneShot:
    """Channels that are scored once, for masks of any amount.

    Args:
        graph: `ChannelGraph` of the model.
        budget, criterion, scope, data, loss, round_to, min_channels, keep: as for `prune`.

    Raises:
        ValueError: as `prune`, but for the amount.
    """

    def __init__(
        self,
        graph: ChannelGraph,
        budget: Budget = "macs",
        criterion: Criterion = "l2",
        *,
        scope: Scope = "global",
        data: Any = None,
        loss: Any = None,
        round_to: int | None = None,
        min_channels: int = 1,
        keep: str | Iterable[str] = (),
    ) -> None:
        relative = not callable(criterion) and criterion in CRITERIA
        round_to = 1 if round_to is None else round_to
        self._ranking = Ranking(graph, budget, scope, round_to, min_channels, keep, not relative)
        self._criterion, self._score = criterion, _scorer(criterion, data, loss)
        self._by_share = relative and scope == "global"

    def masks(self, amount: float) -> Masks:
        """The masks that remove a fraction of the budget.

        Args:
            amount: the fraction, in (0, 1).

        Returns:
            Dict from each prunable group's name to a bool array of shape `(group.size,)`.

        Raises:
            ValueError: an amount outside (0, 1) or beyond what the floors allow; a criterion
                without a score for a channel.
        """
        self._ranking.check(amount)  # before the scores, which can take long
        return self._ranking.graph.masks(self._ranking.keep(self._scores, amount))

    def reachable(self) -> float:
        """The largest amount that the floors allow."""
        return self._ranking.reachable()

    @functools.cached_property
    def _scores(self):
        graph = self._ranking.graph
        scores = np.asarray(self._score(graph), float)
        _check_scores(scores, self._ranking, self._criterion)
        return group_shares(graph, scores) if self._by_share else scores


def _scorer(criterion, data, loss):
    """The function from a graph to scores that `criterion` names or is."""
    if callable(criterion):
        return criterion
    if criterion == "taylor":
        return functools.partial(taylor, data=data, loss=loss)
    if criterion not in CRITERIA:
        known = ", ".join(map(repr, [*CRITERIA, "taylor"]))
        raise ValueError(
            f"Unknown criterion {criterion!r}: use {known}, or pass a function from a "
            "ChannelGraph to scores."
        )
    return CRITERIA[criterion]


def _check_scores(scores, ranking, criterion):
    units = ranking.graph.num_units
    if scores.shape != (units,):
        raise ValueError(
            f"The criterion must return a score for each of the {units} units, got an array of "
            f"shape {scores.shape}."
        )
    without = [g.name for g in ranking.groups if not np.isfinite(scores[g.units]).all()]
    if without:
        needs = " needs a BatchNormalization with scale=True on every channel and"
        raise ValueError(
            f"Criterion {criterion!r}{needs if criterion == 'bn_scale' else ''} has no finite "
            f"score for channels of {', '.join(without)}. Leave them whole with "
            f"keep={tuple(without)!r}, or use another criterion."
        )
