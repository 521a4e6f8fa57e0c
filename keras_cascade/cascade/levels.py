"""What the levels of a cascade are: which fractions, who guides whom, what each has of its own."""

import numbers
from collections.abc import Sequence

import keras
import numpy as np

from keras_cascade.surgery.remaking import operation_anew
from keras_cascade.table import text_table

_GUIDANCE = ("cascade", "dense", "teacher")


def checked_levels(levels: float | Sequence[float]) -> tuple[float, ...]:
    """The fractions as a tuple of floats; raises ValueError where they make no cascade."""
    if not all(isinstance(level, numbers.Real) for level in np.atleast_1d(levels).tolist()):
        raise ValueError(f"levels must be numbers such as (0.25, 0.5, 0.75), got {levels!r}.")
    levels = tuple(float(level) for level in np.atleast_1d(levels))
    increasing = all(a < b for a, b in zip(levels, levels[1:], strict=False))
    if not levels or not increasing or not all(0.0 < level < 1.0 for level in levels):
        raise ValueError(
            f"levels must be strictly increasing fractions between 0 and 1, such as "
            f"(0.25, 0.5, 0.75), got {levels}."
        )
    return levels


def checked_weights(weights, names, freeze_teacher=False):
    """The weights of the levels' losses as a dict from level name to float.

    Args:
        weights: a number a level, the teacher's first; None: 1 for all that are trained.
        names: list of the levels' names.
        freeze_teacher: whether the teacher is not trained, and so has no loss.

    Raises:
        ValueError: not one for each level, one that is not finite, a negative one, 0 for
            another level than the teacher, whose masks would know nothing then, or above 0 for
            a frozen teacher.
    """
    if weights is None:
        weights = [0.0 if freeze_teacher else 1.0] + [1.0] * (len(names) - 1)
    values = [float(weight) for weight in weights]
    good = len(values) == len(names) and all(map(np.isfinite, values))
    if not good or values[0] < 0 or min(values[1:]) <= 0:
        raise ValueError(
            f"level_weights must be {len(names)} numbers, for {', '.join(names)}: above 0, the "
            f"teacher's at least 0; got {weights}."
        )
    if freeze_teacher and values[0]:
        raise ValueError(
            f"With freeze_teacher=True the teacher is not trained and has no loss to weigh: its "
            f"entry of level_weights, the first, must be 0; got {weights}."
        )
    return dict(zip(names, values, strict=True))


def guides_of(names, guidance):
    """Who guides whom.

    Args:
        names: list of the levels' names, the largest first.
        guidance: "cascade", "dense" or "teacher"; see `CascadeDistiller`.

    Returns:
        Dict from each level's name to the list of names of its guides.

    Raises:
        ValueError: another guidance.
    """
    if guidance not in _GUIDANCE:
        raise ValueError(f"Unknown guidance {guidance!r}: use {', '.join(_GUIDANCE)}.")
    return {
        name: {
            "cascade": names[k - 1 : k] if k else [],
            "dense": names[:k],
            "teacher": names[:1] if k else [],
        }[guidance]
        for k, name in enumerate(names)
    }


def own_normalisations(graph, level):
    """A copy of every BatchNormalization, by the id of the original.

    One that is inside another layer too stays the model's, as it is there.
    """
    own = {}
    for name, layer in graph.trace.layers.items():
        if isinstance(layer, keras.layers.BatchNormalization) and id(layer) not in graph.sharing:
            own_name = graph.trace.free_name(f"{name}_{level}")
            copy = operation_anew(layer, own_name)
            copy.build_from_config(layer.get_build_config())
            copy.set_weights(layer.get_weights())
            own[id(layer)] = copy
    return own


def layers_by_original(graph, copy):
    """The layers of a model's copy (see `copy_model`), by the id of the original.

    Args:
        graph: the model's `ChannelGraph`.
        copy: `keras.Model`.
    """
    return {id(layer): copy.get_layer(name) for name, layer in graph.trace.layers.items()}


def freeze_alike(graph, own_layers):
    """Makes layers that stand in for others trainable where those are now, and only there.

    Args:
        graph: `ChannelGraph`.
        own_layers: list of dicts from an original's id to what stands in for it.
    """
    for layer in graph.trace.layers.values():
        for own in own_layers:
            if id(layer) in own:
                own[id(layer)].trainable = layer.trainable


def levels_table(graph, names, levels, keeps, budget):
    """Params and MACs of every level, as a table.

    Args:
        graph: `ChannelGraph`.
        names: list of the levels' names, the teacher's first.
        levels: fractions to remove, one for each name but the first.
        keeps: list of bool arrays of shape `(units,)`, one for each name.
        budget: what the fractions are of.

    Returns:
        Text of several lines.
    """
    rows = []
    for name, level, keep in zip(names, [None, *levels], keeps, strict=True):
        cells = [name, "-" if level is None else f"{level:.1%}"]
        for kind in ("params", "macs"):
            if kind == "macs" and not graph.has_fixed_input:
                cells += ["-", "-"]
                continue
            cost = graph.cost(kind)
            left = cost.total(keep)
            cells += [f"{left:,}", f"{left / cost.total(np.ones_like(keep)):.1%}"]
        rows.append(cells)
    return text_table(["level", f"{budget} to remove", "params", "left", "MACs", "left"], rows)
