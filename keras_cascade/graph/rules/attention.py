"""Attention with projections of its own: whole heads go, and the width of the values.

The width of query and key stays: the scores are divided by its root.
"""

import keras
import numpy as np

from keras_cascade.graph.rules.flow import Flow, KeepWhole
from keras_cascade.graph.rules.registry import register_rule

_ARGUMENTS = ("query", "value", "key")


@register_rule(keras.layers.MultiHeadAttention, arguments=_ARGUMENTS)
def multi_head_attention(layer, inputs, call):
    """Heads and the values' width are made and read inside; the output is made anew."""
    query, value, key = _checked(inputs, call)
    if layer.attention_axes not in (None, (1,)) or len(call.output_shapes[0]) != 3:
        raise KeepWhole("MultiHeadAttention over several axes")
    heads = call.draw(layer.num_heads, "heads")
    width = call.draw(layer.value_dim, "value")
    if keras.backend.backend() == "jax" and not layer.dropout and len(call.output_shapes) == 1:
        call.pin(width, "JAX's fused attention takes values as wide as keys only")
    made = call.draw(call.output_shapes[0][-1])
    value_axes = {0: value.labels, 1: heads, 2: width}
    weights = [
        *_projection(layer.query_dense, {0: query.labels, 1: heads}),
        *_projection(layer.key_dense, {0: key.labels, 1: heads}),
        *_projection(layer.value_dense, value_axes),
        *_projection(layer.output_dense, {0: heads, 1: width, 2: made}),
    ]
    if getattr(layer, "_use_gate", False):
        weights += _projection(layer._gate_dense, {**value_axes, 0: query.labels})
    steps = query.shape[1], value.shape[1]
    return Flow(
        _outputs(made, heads, call),
        weights=weights,
        reads=tuple(range(len(inputs))),
        inner_reads=[(layer.output_dense.kernel, 0, heads), (layer.output_dense.kernel, 1, width)],
        config={"num_heads": heads, "value_dim": width, "output_shape": (made,)},
        macs=_macs(weights, *steps, [(layer.key_dim, [heads]), (1, [heads, width])]),
    )


@register_rule(keras.layers.GroupQueryAttention, arguments=_ARGUMENTS)
def grouped_query_attention(layer, inputs, call):
    """As MultiHeadAttention; a head of key and value goes with the queries that share it."""
    query, value, key = _checked(inputs, call)
    shared = call.draw(layer.num_key_value_heads, "heads")
    heads = np.repeat(shared, layer.num_query_heads // layer.num_key_value_heads)
    # The output is as wide as the query: Keras has no argument for another width.
    made = query.labels
    output_dense = layer._output_dense
    weights = [
        *_projection(layer._query_dense, {0: query.labels, 1: heads}),
        *_projection(layer._key_dense, {0: key.labels, 1: shared}),
        *_projection(layer._value_dense, {0: value.labels, 1: shared}),
        *_projection(output_dense, {0: heads, 2: made}),
    ]
    if getattr(layer, "use_gate", False):
        weights += _projection(layer._gate_dense, {0: query.labels, 1: heads})
    steps = query.shape[1], value.shape[1]
    return Flow(
        _outputs(made, heads, call),
        weights=weights,
        reads=tuple(range(len(inputs))),
        inner_reads=[(output_dense.kernel, 0, heads)],
        config={"num_query_heads": heads, "num_key_value_heads": shared},
        macs=_macs(weights, *steps, [(layer.head_dim, [heads]), (layer.head_dim, [heads])]),
    )


def _checked(inputs, call):
    """Query, value and key along their features; a mask must not tell heads apart."""
    mask = getattr(call.arguments.get("attention_mask"), "shape", ())
    if len(mask) == 4 and mask[1] != 1:
        raise KeepWhole(f"{call.kind} with a mask for each head")
    query, value, *key = (call.along(x) for x in inputs)
    return query, value, key[0] if key else value


def _projection(dense, axes):
    """The labelled axes of a projection's kernel, and of its bias, which lacks those it reads."""
    bias_rank = 0 if dense.bias is None else len(dense.bias.shape)
    read = len(dense.kernel.shape) - bias_rank
    labelled = {axis - read: labels for axis, labels in axes.items() if axis >= read}
    return [(dense.kernel, axes), *([(dense.bias, labelled)] if bias_rank else [])]


def _outputs(made, heads, call):
    """The result, and the scores of each head where they are asked for."""
    outputs = [call.output(made)]
    if len(call.output_shapes) > 1:
        call.pin(heads, "returns the scores of each head")
        outputs.append(call.fixed(1))
    return outputs


def _macs(weights, targets, sources, products):
    """Projections at every step, then scores and their sums for every pair of steps."""
    if targets is None or sources is None:
        return None
    terms = []
    for variable, axes in weights:
        if len(variable.shape) == 3:
            plain = [n for axis, n in enumerate(variable.shape) if axis not in axes]
            steps = targets if variable.path.split("/")[-2] not in ("key", "value") else sources
            terms.append((steps * int(np.prod(plain)), list(axes.values())))
    return terms + [(targets * sources * width, factors) for width, factors in products]
