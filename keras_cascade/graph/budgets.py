"""Budgets of one's own: what, besides MACs, params and channels, an amount can be a fraction of."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from keras_cascade.graph.cost import Cost
from keras_cascade.typing import Budget

if TYPE_CHECKING:
    from keras_cascade.graph.channel_graph import ChannelGraph

_BUDGETS: "dict[str, Callable[[ChannelGraph], Cost]]" = {}
BUILT_IN = ("macs", "params", "channels")


def register_budget(name: str, cost: "Callable[[ChannelGraph], Cost]") -> None:
    """Makes a cost of one's own a budget, for all that takes a `budget`.

    Args:
        name: what it is called; logs of a cascade carry it.
        cost: function from a `ChannelGraph` to a `keras_cascade.graph.Cost`; it is asked once a
            graph.

    Raises:
        ValueError: the name is that of a budget which is built in.

    Example:

    ```python
    def activations(graph):  # how many numbers the layers hand to one another
        terms = [term for part in kc.graph.segments(graph) for term in part.elements]
        return graph.as_cost(terms)

    kc.register_budget("activations", activations)
    small = kc.prune(model, 0.5, budget="activations")
    ```
    """
    if name in BUILT_IN:
        raise ValueError(f"The budget {name!r} is built in; register yours under another name.")
    _BUDGETS[name] = cost


def registered_cost(name: Budget, graph: "ChannelGraph") -> Cost:
    """The `Cost` of a graph under a registered budget; ValueError if there is none so called."""
    if name not in _BUDGETS:
        known = ", ".join(map(repr, [*BUILT_IN, *_BUDGETS]))
        raise ValueError(
            f"Unknown budget {name!r}: use {known}, or make one with kc.register_budget."
        )
    return _BUDGETS[name](graph)
