"""pruning_record: what a smaller model was cut from, for whoever finds the model later."""

import hashlib
import json
from typing import Any

import numpy as np
from keras import ops

from keras_cascade.graph.channel_graph import ChannelGraph
from keras_cascade.typing import Masks, Record


def pruning_record(graph: ChannelGraph, masks: Masks, **settings: Any) -> Record:
    """What a smaller model was cut from, and how; `export` writes it to the manifest.

    Args:
        graph: `ChannelGraph` of the model that was cut.
        masks: dict from group name to a bool array, True = keep.
        **settings: how the masks were chosen; what `json` can hold.

    Returns:
        Dict that `json` can hold: the settings, "masks" (as `ChannelGraph.to_json`) and "parent":
        name, params and the SHA-256 of the weights' bytes in their order.

    Raises:
        ValueError: bad masks.

    Example:

    ```python
    graph = kc.ChannelGraph(model)
    record = kc.pruning_record(graph, masks, criterion="l2")
    kc.export(kc.Surgeon(model, graph).extract(masks), "out", ["litert"], pruning=record)
    ```
    """
    digest = hashlib.sha256()
    for variable in graph.model.weights:
        digest.update(np.ascontiguousarray(ops.convert_to_numpy(variable)).tobytes())
    return {
        **settings,
        "parent": {
            "name": graph.model.name,
            "params": graph.params(),
            "sha256": digest.hexdigest(),
        },
        "masks": json.loads(graph.to_json(masks)),
    }
