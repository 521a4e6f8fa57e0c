"""The walk: one pass over a trace that asks every call's rule how channels flow.

A layer called several times has one set of weights, so what its calls say of them is coupled.
"""

import dataclasses
import functools
import inspect

import numpy as np
from keras import tree

from keras_cascade.graph.channels import Channels, ChannelSpace
from keras_cascade.graph.folding import rows_of_an_example
from keras_cascade.graph.rules import CallContext, flow_of, rule_arguments, rule_inputs
from keras_cascade.graph.sharing import shared_weights, variables_read
from keras_cascade.graph.tracing import TracedTensor


@dataclasses.dataclass(frozen=True)
class Walk:
    """What the walk found.

    Attributes:
        space: the `ChannelSpace` with all labels, couplings and pins.
        channels: dict from `TracedTensor` to its `Channels`.
        flows: dict from `Call` to its `Flow`.
        reads: dict from `Call` to the list of `TracedTensor`s whose channels it mixes.
        rows: dict from `TracedTensor` to how many of its rows are of one example.
        sharing: dict from the `id` of each operation that shares weights with another one to
            the other's name.
    """

    space: ChannelSpace
    channels: dict
    flows: dict
    reads: dict
    rows: dict
    sharing: dict


def walk(traced):
    """Follows the channels of a traced model from its inputs to its outputs.

    Args:
        traced: a `Trace`.

    Returns:
        A `Walk`.
    """
    space, rows, sharing = ChannelSpace(), rows_of_an_example(traced), shared_weights(traced)
    walked = Walk(space, {}, {}, {}, rows, sharing)
    for tensor in traced.inputs:
        walked.channels[tensor] = _input_channels(tensor, walked.space)
    first_flows = {}
    for call in traced.calls:
        arguments = call_arguments(call.operation, call.args, call.kwargs)
        context = CallContext(
            call.name,
            type(call.operation).__name__,
            _with_channels(arguments, walked.channels, rule_arguments(call.operation)),
            [tensor.shape for tensor in call.outputs],
            walked.space,
        )
        flow = _flow(call, context, walked.sharing.get(id(call.operation)))
        first = first_flows.setdefault(id(call.operation), flow)
        if first is not flow:
            _couple_calls(first, flow, context)
        walked.flows[call] = _for_every_row(flow, walked.rows[call.outputs[0]])
        given = rule_inputs(call.operation, arguments)
        read = [given[index] for index in flow.reads]
        walked.reads[call] = [leaf for leaf in read if isinstance(leaf, TracedTensor)]
        walked.channels.update(zip(call.outputs, flow.outputs, strict=True))
    for tensor in traced.outputs:
        if walked.channels[tensor].labels is not None:
            walked.space.pin(walked.channels[tensor].labels, "model output")
    return walked


def _flow(call, context, partner):
    """The `Flow` of a call; kept whole where its operation shares weights with a `partner`."""
    if variables_read(call):
        channels = [leaf for leaf in tree.flatten(context.arguments) if isinstance(leaf, Channels)]
        return context.keep_whole(channels, "reads a weight of a layer itself")
    flow = flow_of(call.operation, context)
    for _, labels in _counted(flow) if partner is not None else ():
        context.pin(labels, f"weights shared with layer '{partner}'")
    return flow


def _for_every_row(flow, rows):
    """A `Flow`, which knows what one row costs, with what all rows of an example do."""
    if rows == 1 or not flow.macs:
        return flow
    macs = [(rows * coefficient, factors) for coefficient, factors in flow.macs]
    return dataclasses.replace(flow, macs=macs)


def call_arguments(operation, args, kwargs):
    """The arguments of a call by name, as its signature has them; those left out are left out."""
    signature = _signature(type(operation))
    (_, *bound) = signature.bind(operation, *args, **kwargs).arguments.items()
    named = {}
    for name, value in bound:
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        else:
            named[name] = value
    return named


@functools.cache
def _signature(operation_type):
    return inspect.signature(operation_type.call)


def _with_channels(arguments, channels, followed):
    """Arguments with the `Channels` of tensors and, where a rule follows them, of constants."""

    def of(leaf, constants):
        if isinstance(leaf, TracedTensor):
            return channels[leaf]
        if constants and hasattr(leaf, "shape"):
            return Channels(tuple(leaf.shape), None, None, fixed=True, constant=True)
        return leaf

    return {
        name: tree.map_structure(functools.partial(of, constants=name in followed), value)
        for name, value in arguments.items()
    }


def _input_channels(tensor, space):
    if len(tensor.shape) < 2 or tensor.shape[-1] is None:
        return Channels(tensor.shape, None, None, fixed=True)
    labels = space.draw(tensor.shape[-1], None)
    space.pin(labels, "model input")
    return Channels(tensor.shape, len(tensor.shape) - 1, labels, fixed=True)


def _couple_calls(first, second, context):
    """A layer called twice has one set of weights: what they run over goes together."""
    one, other = _counted(first), _counted(second)
    if [(key, len(labels)) for key, labels in one] == [(key, len(labels)) for key, labels in other]:
        for (_, labels), (_, others) in zip(one, other, strict=True):
            context.couple(labels, others)
        return
    for _, labels in one + other:
        context.pin(labels, "a shared layer whose calls treat channels differently")


def _counted(flow):
    """All labels that a layer's weights and config have, each with where it has them."""
    places = [
        ((id(variable), axis), labels)
        for variable, axes in flow.weights
        for axis, labels in axes.items()
    ]
    for key, structure in flow.config.items():
        for index, leaf in enumerate(tree.flatten(structure)):
            if isinstance(leaf, np.ndarray):
                places.append(((key, index), leaf))
    return places
