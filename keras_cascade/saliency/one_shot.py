"""One-shot pruning: score the channels of a trained model once, cut, hand the smaller one back."""

import numpy as np

from keras_cascade.graph import ChannelGraph
from keras_cascade.saliency.criteria import CRITERIA
from keras_cascade.saliency.ranking import Ranking
from keras_cascade.surgery import Surgeon


def prune(
    model,
    amount,
    criterion="l1",
    *,
    budget="macs",
    scope="layer",
    round_to=1,
    min_channels=4,
    verify=True,
):
    """Removes the least salient channels of a model in one go.

    The result has lost accuracy and wants fine-tuning; `Distiller` does that under the eyes of
    the unpruned model.

    Args:
        model: a built Functional or Sequential `keras.Model`; it is not changed.
        amount: fraction of the budget to remove, in (0, 1).
        criterion: "l1", "l2", "random", or a function from a `ChannelGraph` to a float array of
            shape `(graph.num_units,)`, larger = more important.
        budget: what `amount` is a fraction of: "macs" (of one example), "params" or "channels".
        scope: "layer" (the same fraction of every group) or "global" (ranked by score per cost
            over the whole network).
        round_to: kept channels are a multiple of this, in every group.
        min_channels: at least this many channels stay in each group.
        verify: whether to check the result against the masked model.

    Returns:
        A functional `keras.Model` of plain layers.

    Raises:
        ValueError: unknown criterion, budget or scope; an amount outside (0, 1) or beyond what
            the floors allow; a model in which nothing can be pruned.

    Example:

    ```python
    small = kc.prune(model, 0.5)
    ```
    """
    graph = ChannelGraph(model)
    ranking = Ranking(graph, budget, scope, round_to, min_channels)
    ranking.check(amount)
    if not callable(criterion):
        if criterion not in CRITERIA:
            raise ValueError(
                f"Unknown criterion {criterion!r}: use {', '.join(map(repr, CRITERIA))}, or pass "
                "a function from a ChannelGraph to scores."
            )
        criterion = CRITERIA[criterion]
    scores = np.asarray(criterion(graph), float)
    if scores.shape != (graph.num_units,) or not np.isfinite(scores).all():
        raise ValueError(
            f"The criterion must return a finite score for each of the {graph.num_units} units, "
            f"got an array of shape {scores.shape}."
        )
    keep = ranking.keep(scores, amount)
    return Surgeon(model, graph).extract(graph.masks(keep), verify=verify)
