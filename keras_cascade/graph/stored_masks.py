"""Stored masks: a pruned architecture as plain JSON text, and back, checked against the model.

The text lists every channel group with its size and what is kept of it, as ranges a person can
read ("0-4, 7"). What identifies the model is its groups, their sizes and its number of params;
its name is there to read only, since Keras often makes names up anew in every process.
"""

import json

import numpy as np

_FORMAT = "keras_cascade masks"
_VERSION = 1
_FIELDS = {"format": str, "version": int, "model": str, "params": int, "groups": dict}


def masks_to_text(graph, masks):
    """The masks as JSON text; see `ChannelGraph.to_json`."""
    keep = graph.keep_vector(masks)
    stored = {
        "format": _FORMAT,
        "version": _VERSION,
        "model": graph.model.name,
        "params": graph.params(),
        "groups": {
            group.name: {"size": group.size, "kept": _ranges(keep[group.units])}
            for group in graph.groups
        },
    }
    return json.dumps(stored, indent=2)


def masks_from_text(graph, text):
    """The masks that a text of `masks_to_text` describes; see `ChannelGraph.masks_from_json`."""
    stored = _parsed(text)
    if stored.get("format") != _FORMAT or stored.get("version") != _VERSION:
        raise ValueError(
            f"Not masks of this version: need format '{_FORMAT}' and version {_VERSION}, got "
            f"format {stored.get('format')!r} and version {stored.get('version')!r}."
        )
    for field, kind in _FIELDS.items():
        if not isinstance(stored.get(field), kind):
            raise ValueError(f"The stored masks have no valid '{field}': {stored.get(field)!r}.")
    _check_model(graph, stored)
    masks = {
        group.name: _mask(group, stored["groups"][group.name]["kept"]) for group in graph.groups
    }
    return graph.masks(graph.keep_vector(masks))


def _parsed(text):
    try:
        stored = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"The stored masks are no JSON: {error}. Was the text cut off?") from error
    if not isinstance(stored, dict):
        raise ValueError(f"The stored masks must be a JSON object, got {type(stored).__name__}.")
    return stored


def _check_model(graph, stored):
    """Raises unless the text is of a model with the groups, sizes and params of this one."""
    belongs = f"The masks are of model '{stored['model']}', this is '{graph.model.name}'"
    advice = "Build the model as it was built then, with the same layer names."
    here = {group.name: group.size for group in graph.groups}
    for name, entry in stored["groups"].items():
        if not isinstance(entry, dict) or not {"size", "kept"} <= set(entry):
            raise ValueError(f"Group '{name}' needs 'size' and 'kept', got {entry!r}.")
        if name not in here:
            raise ValueError(f"{belongs}, which has no group '{name}'. {advice}")
        if entry["size"] != here[name]:
            raise ValueError(
                f"{belongs}: group '{name}' has {here[name]} channels, stored are "
                f"{entry['size']}. {advice}"
            )
    for name in here:
        if name not in stored["groups"]:
            raise ValueError(f"{belongs}: group '{name}' is missing in the text. {advice}")
    if stored["params"] != graph.params():
        raise ValueError(
            f"{belongs}: it has {graph.params():,} params, the stored one {stored['params']:,}. "
            f"{advice}"
        )


def _ranges(mask):
    """The kept indices as text: "all", or such as "0-4, 7"."""
    if mask.all():
        return "all"
    edges = np.flatnonzero(np.diff(mask.astype(int), prepend=0, append=0))
    runs = zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True)
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _mask(group, kept):
    if kept == "all":
        return np.ones(group.size, bool)
    mask = np.zeros(group.size, bool)
    for run in str(kept).split(","):
        first, _, last = run.strip().partition("-")
        last = last or first
        # isdecimal alone would take other scripts' digits.
        if not (f"{first}{last}".isascii() and first.isdecimal() and last.isdecimal()):
            raise ValueError(f"Group '{group.name}': cannot read {run!r} in kept = {kept!r}.")
        if not int(first) <= int(last) < group.size:
            raise ValueError(
                f"Group '{group.name}' has channels 0 to {group.size - 1}; kept names {run!r}."
            )
        mask[int(first) : int(last) + 1] = True
    return mask
