"""Layers and op nodes that only move elements: reshapes, transpositions, slices, repeats.

What they do to channels is found by doing it: a tensor that holds each element's label is put
through the operation itself. Where the labels then vary along one axis, that is the channel axis
of the result. Where they vary along several (a reshape of 64 channels to 8 x 8), the longest of
them is made the channel axis, and what stands at the same place along it is coupled, so that only
whole slices can go. An axis of unknown size is given `OPEN_SIZE` places; labels must then vary
along one axis, of known size, for what is found to hold at any size.
"""

import keras
import numpy as np
from keras import ops, tree
from keras.src.ops import core as core_ops
from keras.src.ops import nn as nn_ops
from keras.src.ops import numpy as numpy_ops

from keras_cascade.graph.channels import Channels
from keras_cascade.graph.rules.registry import (
    Flow,
    KeepWhole,
    positive_axes,
    register_rule,
)

OPEN_SIZE = 15  # odd: no power of two divides it, so a reshape that scrambles channels shows


@register_rule(
    keras.layers.Flatten,
    keras.layers.Permute,
    keras.layers.RepeatVector,
    numpy_ops.ExpandDims,
    numpy_ops.Transpose,
    numpy_ops.Moveaxis,
    numpy_ops.Swapaxes,
    numpy_ops.Flip,
    numpy_ops.Tile,
    numpy_ops.Stack,
    numpy_ops.Copy,
    nn_ops.DepthToSpace,
    nn_ops.SpaceToDepth,
)
def rearrangement(operation, inputs, call):
    """Elements change places; nothing in the operation's config counts channels."""
    return Flow(_moved(operation, inputs, call))


@register_rule(numpy_ops.Squeeze)
def squeeze(operation, inputs, call):
    """Named axes go; without a name, so would a channel axis cut to one."""
    if operation.axis is None and not inputs[0].fixed:
        raise KeepWhole("Squeeze of unnamed axes")
    return rearrangement(operation, inputs, call)


@register_rule(numpy_ops.Repeat)
def repeat(operation, inputs, call):
    """Every element as often; a count for each channel belongs to channels by position."""
    (x,) = inputs
    if np.size(operation.repeats) > 1 and operation.axis in (None, x.axis):
        raise KeepWhole("Repeat with a count for each channel")
    return rearrangement(operation, inputs, call)


@register_rule(numpy_ops.Roll, core_ops.Unstack)
def positions_only(operation, inputs, call):
    """Counts places along an axis, which must not be the channels'."""
    (x,) = inputs
    if x.axis is not None and x.axis in positive_axes(operation.axis, len(x.shape)):
        raise KeepWhole(f"{call.kind} along the channels")
    return rearrangement(operation, inputs, call)


@register_rule(keras.layers.Reshape)
def reshape_layer(layer, inputs, call):
    """A reshape whose target may name the number of channels."""
    outputs = _reshaped(layer, inputs, call)
    shape = _with_labels((None, *layer.target_shape), outputs[0])
    return Flow(outputs, config={"target_shape": shape[1:]})


@register_rule(numpy_ops.Reshape)
def reshape_operation(operation, inputs, call):
    """As the layer; the target includes the batch."""
    outputs = _reshaped(operation, inputs, call)
    return Flow(outputs, config={"newshape": _with_labels(operation.newshape, outputs[0])})


@register_rule(numpy_ops.Split)
def split(operation, inputs, call):
    """Cuts an axis in parts; along the channels, after as many as are kept."""
    outputs = _moved(operation, inputs, call)
    (x,) = inputs
    if x.fixed or operation.axis % len(x.shape) != x.axis or len(outputs) == 1:
        return Flow(outputs)
    ends = np.cumsum([shape[x.axis] for shape in call.output_shapes])[:-1]
    return Flow(
        outputs, config={"indices_or_sections": tuple(x.labels[:end] for end in ends.tolist())}
    )


@register_rule(numpy_ops.GetItem)
def get_item(operation, inputs, call):
    """Slices; along the channels, from and to as many as are kept."""
    (x,) = inputs
    outputs = _moved(operation, inputs, call)
    key = call.arguments["key"]
    key = tuple(key) if isinstance(key, tuple | list) else (key,)
    place = None if x.fixed else _place_in_key(key, x.axis, len(x.shape))
    if place is None or key[place] == slice(None):
        return Flow(outputs)
    if not isinstance(key[place], slice):
        raise KeepWhole("GetItem picks a channel by its number")
    start, stop, step = key[place].indices(len(x))
    if step != 1:
        raise KeepWhole("GetItem takes every so many channels")
    part = slice(x.labels[:start], x.labels[:stop])
    return Flow(outputs, arguments={"key": (*key[:place], part, *key[place + 1 :])})


def _place_in_key(key, axis, rank):
    """Where in a slicing key the entry for an axis stands; None if it is left out."""
    sizes = [0 if entry is None else 1 for entry in key]
    for index, entry in enumerate(key):
        if entry is Ellipsis:
            sizes[index] = rank - (sum(sizes) - 1)
    ends = np.cumsum(sizes)
    place = int(np.searchsorted(ends, axis, side="right"))
    return None if place == len(key) or key[place] is Ellipsis else place


def _with_labels(shape, channels):
    """A target shape with the labels in the place of their number."""
    if channels.fixed or shape[channels.axis] in (-1, None):
        return tuple(shape)
    return (*shape[: channels.axis], channels.labels, *shape[channels.axis + 1 :])


def _reshaped(operation, inputs, call):
    """As `_moved`, where an example's elements fill up the shape; a batch may be spread too."""
    given, made = (
        int(np.prod([size or open_size for size in shape[1:]]))
        for shape, open_size in ((inputs[0].shape, OPEN_SIZE), (call.output_shapes[0], 1))
    )
    if given % made:
        raise KeepWhole(f"{call.kind} of positions of unknown number")
    return _moved(operation, inputs, call)


def _moved(operation, inputs, call):
    """The `Channels` of every output, found by moving labels as the operation moves elements."""
    moving = next((x for x in inputs if not x.fixed), None)
    if moving is None:
        return [call.fixed(index) for index in range(len(call.output_shapes))]
    arrays = {id(x): _label_array(call.along(x, moving.axis)) for x in inputs}
    arguments = tree.map_structure(
        lambda leaf: (
            ops.convert_to_tensor(arrays[id(leaf)]) if isinstance(leaf, Channels) else leaf
        ),
        call.arguments,
    )
    results = tree.flatten(operation.call(**arguments))
    return [
        _settled(ops.convert_to_numpy(result), call, index) for index, result in enumerate(results)
    ]


def _label_array(x):
    """Each element's label, for one example."""
    frame = [1] * len(x.shape)
    frame[x.axis] = len(x)
    shape = [1, *(size or OPEN_SIZE for size in x.shape[1:])]
    return np.broadcast_to(x.labels.reshape(frame), shape).astype("int32")


def _settled(labels, call, index):
    """The `Channels` of an output whose elements have these labels."""
    shape = call.output_shapes[index]
    if len(shape) != labels.ndim or any(
        size not in (None, found) for size, found in zip(shape[1:], labels.shape[1:], strict=True)
    ):
        raise KeepWhole(f"{call.kind} of positions of unknown number")
    axes = range(1, labels.ndim)
    varying = [axis for axis in axes if (labels != labels.take([0], axis)).any()]
    if not varying:
        call.pin(labels.ravel()[:1], f"{call.kind} spreads a single channel")
        return call.fixed(index)
    axis = max(varying, key=lambda one: (labels.shape[one], one))
    if shape[axis] is None or (None in shape[1:] and len(varying) > 1):
        raise KeepWhole(f"{call.kind} of positions of unknown number")
    slices = np.moveaxis(labels, axis, -1).reshape(-1, labels.shape[axis])
    other = slices[(slices != slices[0]).any(axis=1)]
    call.couple(np.tile(slices[0], len(other)), other.ravel())
    return call.output(slices[0].astype(int), axis, index)
