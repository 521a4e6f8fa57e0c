"""Layers and op nodes that only move elements: reshapes, transpositions, slices, repeats.

What they do to channels is found by doing it: a tensor that holds each element's label is put
through the operation itself. Where the labels then vary along one axis, that is the channel axis
of the result. Where they vary along several (a reshape of 64 channels to 8 x 8), the one with most
channels is made the channel axis, and what stands at the same place along it is coupled, so that
only whole slices can go.
"""

import math

import keras
import numpy as np
from keras import ops, tree
from keras.src.ops import core as core_ops
from keras.src.ops import nn as nn_ops
from keras.src.ops import numpy as numpy_ops

from keras_cascade.graph.channels import Channels
from keras_cascade.graph.rules.axes import positive_axes
from keras_cascade.graph.rules.flow import Flow, KeepWhole
from keras_cascade.graph.rules.registry import known, register_rule


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
    *known(nn_ops, "DepthToSpace SpaceToDepth"),
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
    along_channels = not x.fixed and operation.axis % len(x.shape) == x.axis
    if not along_channels or len(outputs) == 1:  # one part: no place to cut at
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
    """As `_moved`; where examples are spread over others, over as many as it takes."""
    given, made = (
        None if None in shape[1:] else int(np.prod(shape[1:]))
        for shape in (inputs[0].shape, call.output_shapes[0])
    )
    if None in (given, made):
        return _moved(operation, inputs, call)
    return _moved(operation, inputs, call, examples=math.lcm(given, made) // given)


def _moved(operation, inputs, call, examples=1):
    """The `Channels` of every output, found by moving labels as the operation moves elements.

    Axes of unknown size are given two sizes in turn: what depends on the size is not known.
    """
    moving = next((x for x in inputs if not x.fixed), None)
    if moving is None:
        return [call.fixed(index) for index in range(len(call.output_shapes))]
    tensors = [call.along(x, moving.axis) for x in inputs]
    sizes = (2, 3) if any(None in x.shape[1:] for x in tensors) else (1,)
    found = []
    for size in sizes:
        arrays = [_label_array(x, x.shape[0] or examples, size) for x in tensors]
        labels = _labels_moved(operation, call, dict(zip(map(id, inputs), arrays, strict=True)))
        found.append([_settled(one, call, index) for index, one in enumerate(labels)])
    for one, other in zip(found[0], found[-1], strict=True):
        if one.axis != other.axis or not np.array_equal(one.labels, other.labels):
            raise KeepWhole(f"{call.kind} of examples or positions of unknown number")
    return found[0]


def _label_array(x, examples, open_size):
    """Each element's label; axes of unknown size have size `open_size`."""
    frame = [1] * len(x.shape)
    frame[x.axis] = len(x)
    shape = [examples, *(size or open_size for size in x.shape[1:])]
    return np.broadcast_to(x.labels.reshape(frame), shape).astype("int32")


def _labels_moved(operation, call, arrays):
    """The outputs of the operation on label arrays, which stand for inputs by their `id`."""
    arguments = tree.map_structure(
        lambda leaf: (
            ops.convert_to_tensor(arrays[id(leaf)]) if isinstance(leaf, Channels) else leaf
        ),
        call.arguments,
    )
    try:
        results = operation.call(**arguments)
    except Exception as error:  # of whatever kind the backend has for sizes that do not fit
        raise KeepWhole(f"{call.kind} of examples or positions of unknown number") from error
    return [ops.convert_to_numpy(result) for result in tree.flatten(results)]


def _settled(labels, call, index):
    """The `Channels` of an output whose elements have these labels."""
    shape = call.output_shapes[index]
    if any(size not in (None, got) for size, got in zip(shape[1:], labels.shape[1:], strict=True)):
        raise KeepWhole(f"{call.kind} of examples or positions of unknown number")
    if not labels.size:
        return call.fixed(index)
    slices = {axis: _slices(labels, axis) for axis in range(1, labels.ndim)}
    varying = [axis for axis, rows in slices.items() if (rows != rows[:, :1]).any()]
    if not varying:
        if (labels != labels.flat[0]).any():
            raise KeepWhole(f"{call.kind} makes examples of channels")
        call.need(labels.flat[:1])
        return call.fixed(index)
    # The axis along which most can still go apart.
    axis = max(varying, key=lambda one: (len(np.unique(slices[one][0])), one))
    if shape[axis] is None:
        raise KeepWhole(f"{call.kind} of examples or positions of unknown number")
    first = slices[axis][0]
    other = slices[axis][(slices[axis] != first).any(axis=1)]
    call.couple(np.tile(first, len(other)), other.ravel())
    return call.output(first.astype(int), axis, index)


def _slices(labels, axis):
    """All rows along an axis, as a matrix."""
    return np.moveaxis(labels, axis, -1).reshape(-1, labels.shape[axis])
