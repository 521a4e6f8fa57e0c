"""level_records: what the levels of a cascade have become, as numbers that a report can show."""

import numpy as np

from keras_cascade.cascade.cascade_distiller import CascadeDistiller
from keras_cascade.typing import Record


def level_records(cascade: CascadeDistiller, bins: int = 30) -> Record:
    """What every level keeps of each channel group, and how its saliency is distributed.

    Args:
        cascade: a `CascadeDistiller`.
        bins: how many bins the histograms have; all levels share their edges.

    Returns:
        Dict that `json` can hold:
        "groups", a list of dicts with name, size, made_by (names of layers), prunable and reason;
        "levels", a list of dicts with name, to_remove (fraction of the budget; None for the
        teacher), params, macs (None where the input size is open), kept (dict from group name to
        the number of channels) and saliency: None for the teacher, else a dict with kept and
        removed, the channels in each bin by whether the level keeps them, and zeros: how many
        have no saliency at all and so are in no bin;
        "log10_saliency_edges", list of `bins + 1` floats;
        "budget" and "scope", as the cascade has them.

    Raises:
        ValueError: `bins` below 1.

    Example:

    ```python
    from keras_cascade.cascade import level_records

    for level in level_records(cascade)["levels"]:
        print(level["name"], level["params"], level["kept"])
    ```
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}.")
    logs = {name: _log10_saliency(cascade, name) for name in cascade.level_names[1:]}
    every = np.concatenate([values for split in logs.values() for values in split])
    edges = np.histogram_bin_edges(every[np.isfinite(every)], bins)
    levels = [
        _level(cascade, name, to_remove, logs.get(name), edges)
        for name, to_remove in zip(cascade.level_names, [None, *cascade.levels], strict=True)
    ]
    groups = [
        {
            "name": group.name,
            "size": group.size,
            "made_by": list(group.producers),
            "prunable": group.prunable,
            "reason": group.reason,
        }
        for group in cascade.graph.groups
    ]
    return {
        "budget": cascade.budget,
        "scope": cascade.scope,
        "groups": groups,
        "levels": levels,
        "log10_saliency_edges": edges.tolist(),
    }


def log10_saliency(cascade, level):
    """The logarithms of a level's saliency, of channels that have any.

    Args:
        cascade: a `CascadeDistiller`.
        level: its number or name; not the teacher.

    Returns:
        Float array, one value a channel.
    """
    values = np.concatenate(_log10_saliency(cascade, level))
    return values[np.isfinite(values)]


def _log10_saliency(cascade, level):
    """Of the channels that are kept, and of those that are removed; -inf where there is none."""
    masks, saliency = cascade.masks(level), cascade.saliency(level)
    keep = np.concatenate([masks[name] for name in saliency])
    with np.errstate(divide="ignore"):
        values = np.log10(np.concatenate(list(saliency.values())))
    return values[keep], values[~keep]


def _level(cascade, name, to_remove, logs, edges):
    graph, masks = cascade.graph, cascade.masks(name)
    return {
        "name": name,
        "to_remove": to_remove,
        "params": graph.params(masks),
        "macs": graph.macs(masks) if graph.has_fixed_input else None,
        "kept": {
            group.name: int(masks[group.name].sum()) if group.name in masks else group.size
            for group in graph.groups
        },
        "saliency": None if logs is None else _histogram(*logs, edges),
    }


def _histogram(kept, removed, edges):
    kinds = {"kept": kept, "removed": removed}
    counts = {
        kind: np.histogram(values[np.isfinite(values)], edges)[0].tolist()
        for kind, values in kinds.items()
    }
    zeros = sum(int(np.isneginf(values).sum()) for values in kinds.values())
    return {**counts, "zeros": zeros}
