"""SlicedModel: the smaller model of some masks, computed with slices of the original's weights.

A masked view computes every channel and multiplies the removed ones by zero. This computes the kept
ones only, as the extracted model does, but owns no weights: the extracted model's layers are called
with slices of the original's, taken anew at every call. So gradients flow back into the original,
and a training step costs what the small model costs.
"""

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from keras_cascade.surgery.surgeon import Surgeon, kept_axes
from keras_cascade.surgery.views import call_with, full_values


@dataclasses.dataclass(frozen=True)
class _Slice:
    """Where the value of one variable of the smaller model comes from."""

    source: Any
    kept: dict  # from axis to the positions along it

    def take(self, value):
        for axis, positions in self.kept.items():
            value = ops.take(value, positions, axis=axis)
        return value

    def put(self, value):
        """Writes a value of the smaller variable to its place in the source."""
        if not self.kept:
            self.source.assign(value)
            return
        shape = tuple(self.source.shape)
        every = [self.kept.get(axis, np.arange(size)) for axis, size in enumerate(shape)]
        places = np.ravel_multi_index(np.ix_(*every), shape).reshape(-1, 1)
        flat = ops.reshape(ops.convert_to_tensor(self.source), (-1,))
        flat = ops.scatter_update(flat, places, ops.reshape(value, (-1,)))
        self.source.assign(ops.reshape(flat, shape))


class SlicedModel:
    """Computes, trains and writes moving statistics as the extracted model of some masks would.

    It is called like a model and is no layer: what tracks the original's weights keeps doing so.

    Args:
        graph: the original's `ChannelGraph`.
        masks: dict from group name to a bool array, True = keep.
        add_loss: function that takes what layers add to the loss.
        stand_in: dict from the `id` of a layer of the original to the one whose weights are
            taken in its place (a cascade level's own normalisation).

    Raises:
        ValueError, SurgeryError: as `Surgeon.extract`.
    """

    def __init__(self, graph, masks, add_loss, stand_in=None):
        self._add_loss = add_loss
        self._small = Surgeon(graph.model, graph).extract(masks, stand_in=stand_in, verify=False)
        keep, source_of = graph.keep_vector(masks), {}
        for call, flow in graph.first_flows():
            layer = call.operation
            source = (stand_in or {}).get(id(layer), layer)
            target = self._small.get_layer(call.name)
            kept = kept_axes(graph, layer, flow, keep)
            kept = dict(zip(map(id, source.weights), kept, strict=True))
            for small, large in zip(target.variables, source.variables, strict=True):
                # Among the weights lie the states of random numbers, which are whole.
                axes = kept.get(id(large), {})
                positions = {axis: np.flatnonzero(mask) for axis, mask in axes.items()}
                source_of[id(small)] = _Slice(large, positions)
        self._slices = [source_of[id(variable)] for variable in self._small.variables]

    def __call__(self, inputs, training=False):
        """The outputs of the smaller model."""
        values = full_values([one.source for one in self._slices])
        values = [one.take(value) for one, value in zip(self._slices, values, strict=True)]
        outputs, written, losses = call_with(self._small, values, inputs, training=training)
        for index, value in written.items():  # moving statistics, states of random numbers
            self._slices[index].put(value)
        for loss in losses:
            self._add_loss(loss)
        return outputs
