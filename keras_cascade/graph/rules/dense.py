"""Matrix products: Dense, EinsumDense, and Embedding, which looks its rows up."""

import keras
import numpy as np

from keras_cascade.graph.rules.axes import spatial_size
from keras_cascade.graph.rules.elementwise import pin_mixing_activation
from keras_cascade.graph.rules.flow import Flow, KeepWhole
from keras_cascade.graph.rules.registry import register_rule


@register_rule(keras.layers.Dense)
def dense(layer, inputs, call):
    """Every unit reads all input channels; a unit is a channel made."""
    x = call.along(inputs[0])
    made = call.draw(layer.units)
    pin_mixing_activation(layer, made, call)
    rows = spatial_size(call.output_shapes[0], len(x.shape) - 1)
    return Flow(
        [call.output(made)],
        weights=[
            (layer.kernel, {0: x.labels, 1: made}),
            *([(layer.bias, {0: made})] if layer.use_bias else []),
        ],
        reads=(0,),
        rows=[(layer.kernel, 0, x.labels)],
        config={"units": made},
        macs=None if rows is None else [(rows, [x.labels, made])],
    )


@register_rule(keras.layers.EinsumDense)
def einsum_dense(layer, inputs, call):
    """Letters say which axes are read, made or carried; one axis of the output has channels.

    That is the axis the input's channels go to where they are carried, else the last axis made.
    """
    (x,) = inputs
    given, weight, made_axes = _letters(layer, len(x.shape), len(call.output_shapes[0]))
    new = [letter for letter in made_axes if letter not in given]
    if x.fixed:
        read = [axis for axis, letter in enumerate(given) if letter not in made_axes]
        x = call.along(x, read[-1] if read else -1)
    letter = given[x.axis]
    is_carried = letter in made_axes
    if is_carried:
        carrier, labels = letter, x.labels
    elif letter in weight and new:
        carrier = new[-1]
        labels = call.draw(call.output_shapes[0][made_axes.index(carrier)])
    else:
        raise KeepWhole(f"EinsumDense with the equation {layer.equation}")
    labels_of = {letter: x.labels, carrier: labels}
    pin_mixing_activation(layer, labels, call)
    weights = [(layer.kernel, _labelled(weight, labels_of))]
    if layer.bias is not None:
        weights.append((layer.bias, _labelled(_bias_letters(layer, made_axes), labels_of)))
    return Flow(
        [call.output(labels, made_axes.index(carrier))],
        weights=weights,
        reads=() if is_carried else (0,),
        rows=[] if is_carried else [(layer.kernel, weight.index(letter), x.labels)],
        config=_einsum_config(layer, made_axes, carrier, labels),
        macs=_einsum_macs(layer, call.output_shapes[0], given, weight, made_axes, labels_of),
    )


@register_rule(keras.layers.Embedding)
def embedding(layer, inputs, call):
    """Every column of the table is a channel made; the indices have none."""
    (x,) = inputs
    if not x.fixed:
        raise KeepWhole("Embedding of a tensor that has channels")
    made = call.draw(layer.output_dim)
    return Flow(
        [call.output(made)],
        weights=[(layer.embeddings, {1: made})],
        config={"output_dim": made},
    )


def _letters(layer, input_rank, output_rank):
    """The equation's three sides as lists, one letter an axis; an ellipsis gets digits."""
    left, made = layer.equation.replace(" ", "").split("->")
    given, weight = left.split(",")
    hidden = "".join(map(str, range(input_rank - len(given.replace("...", "")))))
    given, made = given.replace("...", hidden), made.replace("...", hidden)
    if len(given) != input_rank or len(made) != output_rank or len(hidden) > 10:
        raise KeepWhole(f"EinsumDense with the equation {layer.equation}")
    if any(len(set(side)) < len(side) for side in (given, weight, made)):
        raise KeepWhole(f"EinsumDense with the equation {layer.equation}")
    return list(given), list(weight), list(made)


def _bias_letters(layer, made_axes):
    """A letter for every axis of the bias, from its first on; "" where the axis has size 1."""
    tail = made_axes[min(made_axes.index(letter) for letter in layer.bias_axes) :]
    return [letter if letter in layer.bias_axes else "" for letter in tail]


def _einsum_config(layer, made_axes, carrier, labels):
    shape = list(layer.partial_output_shape)
    first = len(made_axes) - len(shape) if layer.equation.startswith("...") else 1
    place = made_axes.index(carrier) - first
    if not 0 <= place < len(shape) or shape[place] is None:
        return {}
    shape[place] = labels
    return {"output_shape": tuple(shape)}


def _labelled(letters, labels_of):
    return {axis: labels_of[letter] for axis, letter in enumerate(letters) if letter in labels_of}


def _einsum_macs(layer, output_shape, given, weight, made_axes, labels_of):
    """Positions times kernel, the labelled axes of either as factors."""
    sizes = dict(zip(weight, layer.kernel.shape, strict=True))
    sizes.update(zip(made_axes[1:], output_shape[1:], strict=True))
    plain = [size for letter, size in sizes.items() if letter not in labels_of]
    if None in plain or any(letter in given[:1] for letter in weight):
        return None
    return [(int(np.prod(plain)), list(labels_of.values()))]
