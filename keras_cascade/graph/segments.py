"""Segments: a traced model cut before every call that multiplies.

A runtime fuses what follows a convolution into it, so a layer's latency is measured with what comes
behind it: normalisation, activation, addition. The segments of a model are all of its calls, each
once, and what they take adds up to what the model takes.
"""

import dataclasses

import keras
import numpy as np

from keras_cascade.graph.channel_graph import ChannelGraph
from keras_cascade.graph.tracing import Trace, renamed, replay
from keras_cascade.typing import Terms


@dataclasses.dataclass(frozen=True, eq=False)
class Segment:
    """Some calls in a row.

    Attributes:
        traced: their `Trace`; its inputs are what they read of other segments, its outputs what
            those read of them.
        rows: list with each input's rows of one example: 1, or as many as were folded into the
            batch.
        macs: terms of a `Cost`: multiply-accumulates, with labels as factors.
        elements: terms of a `Cost`: how many numbers go in and out.
    """

    traced: Trace
    rows: list[int]
    macs: Terms
    elements: Terms

    def model(self) -> keras.Model:
        """The segment as a functional `keras.Model` that shares the layers."""
        inputs = [
            keras.Input(batch_shape=_batch_shape(tensor, rows), dtype=tensor.dtype)
            for tensor, rows in zip(self.traced.inputs, self.rows, strict=True)
        ]
        values = replay(self.traced, inputs, renamed)
        return keras.Model(inputs, [values[tensor] for tensor in self.traced.outputs])


def segments(graph: ChannelGraph) -> list[Segment]:
    """Cuts the model of a `ChannelGraph` into its segments.

    Args:
        graph: a `ChannelGraph` of a model of fixed input size.

    Returns:
        List of `Segment`, in the order of the calls.
    """
    parts = []
    for call in graph.trace.calls:
        if not parts or graph.flow(call).macs:
            parts.append([])
        parts[-1].append(call)
    made_in = {tensor: part for part, calls in enumerate(parts) for tensor in _outputs(calls)}
    crossing = dict.fromkeys(graph.trace.outputs)
    for part, calls in enumerate(parts):
        crossing.update((tensor, None) for tensor in _inputs(calls) if made_in.get(tensor) != part)
    return [_segment(graph, calls, crossing) for calls in parts]


def _segment(graph, calls, crossing):
    made = _outputs(calls)
    inputs = [tensor for tensor in _inputs(calls) if tensor not in made]
    outputs = [tensor for tensor in made if tensor in crossing]
    return Segment(
        Trace(graph.model, calls, inputs, outputs),
        [graph.rows[tensor] for tensor in inputs],
        macs=[term for call in calls for term in graph.flow(call).macs or ()],
        elements=[_elements(graph, tensor) for tensor in inputs + outputs],
    )


def _elements(graph, tensor):
    channels, size = graph.channels[tensor], graph.rows[tensor] * int(np.prod(tensor.shape[1:]))
    return (size, []) if channels.labels is None else (size // len(channels), [channels.labels])


def _batch_shape(tensor, rows):
    """One example's rows, where they are several: a later reshape gathers them again."""
    return tensor.shape if rows == 1 or tensor.shape[0] else (rows, *tensor.shape[1:])


def _inputs(calls):
    return list(dict.fromkeys(tensor for call in calls for tensor in call.inputs))


def _outputs(calls):
    return list(dict.fromkeys(tensor for call in calls for tensor in call.outputs))
