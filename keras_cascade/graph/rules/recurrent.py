"""Recurrent layers, whose units read one another, and the wrappers around layers."""

import dataclasses

import keras
import numpy as np

from keras_cascade.graph.channels import Channels
from keras_cascade.graph.rules.elementwise import is_elementwise
from keras_cascade.graph.rules.flow import Flow, KeepWhole
from keras_cascade.graph.rules.registry import register_rule

_GATES = {keras.layers.SimpleRNN: 1, keras.layers.GRU: 3, keras.layers.LSTM: 4}


@register_rule(*_GATES, arguments=("sequences", "initial_state"))
def recurrent(layer, inputs, call):
    """A unit is a channel made; every unit reads the input and all units' last values."""
    if layer.stateful:
        raise KeepWhole(f"stateful {call.kind}")
    x, *states = inputs
    x = call.along(x)
    made = call.draw(layer.units)
    for state in states:
        call.couple(made, call.along(state).labels)
    for activation in (layer.activation, getattr(layer, "recurrent_activation", None)):
        if not is_elementwise(activation):
            call.pin(made, "an activation that may mix channels")
    cell, gates = layer.cell, np.tile(made, _GATES[type(layer)])
    weights = [
        (cell.kernel, {0: x.labels, 1: gates}),
        (cell.recurrent_kernel, {0: made, 1: gates}),
    ]
    if cell.use_bias:
        weights.append((cell.bias, {-1: gates}))
    return Flow(
        [call.output(made, -1, index) for index in range(len(call.output_shapes))],
        weights=weights,
        reads=(0,),
        rows=[(cell.kernel, 0, x.labels)],
        inner_reads=[(cell.recurrent_kernel, 0, made)],
        config={"units": made},
        macs=None
        if x.shape[1] is None
        else [(x.shape[1], [x.labels, gates]), (x.shape[1], [made, gates])],
    )


@register_rule(keras.layers.Bidirectional, arguments=("sequences", "initial_state"))
def bidirectional(layer, inputs, call):
    """Two layers over the same input, their results joined or merged.

    Keras takes both to be of one size, so a unit of the one goes with a unit of the other. The
    first half of the initial states is the forward layer's.
    """
    if layer.return_state:
        raise KeepWhole("Bidirectional that returns its states")
    steps = call.output_shapes[0][:-1]
    inner = layer.forward_layer, layer.backward_layer
    x, *states = inputs
    half = len(states) // 2
    given = [x, *states[:half]], [x, *states[half:]]
    flows = []
    for part, wrapped, each in zip(("forward", "backward"), inner, given, strict=True):
        units = getattr(wrapped, "units", None)  # what has none has no rule
        flows.append(call.inner(wrapped, each, [(*steps, units)], part))
    forward, backward = (flow.outputs[0].labels for flow in flows)
    if len(forward) != len(backward):
        raise KeepWhole("Bidirectional of layers of different size")
    call.couple(forward, backward)
    if layer.merge_mode == "concat":
        outputs = [call.output(np.concatenate([forward, backward]))]
    elif layer.merge_mode is None:
        outputs = [call.output(forward), call.output(backward, index=1)]
    else:
        outputs = [call.output(forward)]
    return _joined(flows, ("layer", "backward_layer"), outputs)


@register_rule(keras.layers.TimeDistributed)
def time_distributed(layer, inputs, call):
    """The same layer at every step; the steps are positions."""
    (x,) = inputs
    if x.fixed:
        x = call.along(x)
    if x.axis == 1:
        raise KeepWhole("TimeDistributed along the channels")
    step = Channels((x.shape[0], *x.shape[2:]), x.axis - 1, x.labels, x.fixed)
    shapes = [(shape[0], *shape[2:]) for shape in call.output_shapes]
    flow = call.inner(layer.layer, [step], shapes, "")
    if flow.masked_call is not None:
        raise KeepWhole(f"TimeDistributed of {type(layer.layer).__name__}")
    outputs = [
        dataclasses.replace(made, shape=shape, axis=None if made.axis is None else made.axis + 1)
        for made, shape in zip(flow.outputs, call.output_shapes, strict=True)
    ]
    steps = x.shape[1]
    if flow.macs is not None:
        counted = None if steps is None else [(steps * c, factors) for c, factors in flow.macs]
        flow = dataclasses.replace(flow, macs=counted)
    return _joined([flow], ("layer",), outputs)


def _joined(flows, keys, outputs):
    """The flow of a wrapper from those of the layers it holds under `keys` of its config."""
    macs = [flow.macs for flow in flows]
    return Flow(
        outputs,
        weights=[pair for flow in flows for pair in flow.weights],
        reads=flows[0].reads,
        rows=[row for flow in flows for row in flow.rows],
        inner_reads=[read for flow in flows for read in flow.inner_reads],
        config={
            (outer, "config", *(key if isinstance(key, tuple) else (key,))): labels
            for outer, flow in zip(keys, flows, strict=True)
            for key, labels in flow.config.items()
        },
        macs=None if None in macs else [term for terms in macs for term in terms],
    )
