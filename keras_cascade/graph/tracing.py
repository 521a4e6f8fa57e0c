"""Tracing: a built Keras model becomes one flat list of calls, and can be replayed.

A `Trace` is plain data: every symbolic tensor of the model, nested models included, is a
`TracedTensor`, and every time an operation is called is a `Call`. `replay` runs the calls
again on other values: symbolic tensors to build a new model, arrays to compute one, with the
operations, or what they read, exchanged on the way. Everything else in the package sees models only
through a trace, so this module and `nesting` alone know how Keras stores its graphs.
"""

import dataclasses

import keras
from keras import tree

from keras_cascade.graph.nesting import (
    adapted,
    dissolved,
    given_inputs,
    input_names,
    nested_functional,
)


@dataclasses.dataclass(frozen=True, eq=False)
class TracedTensor:
    """One tensor of the flattened model.

    Attributes:
        shape: tuple of int or None, the batch dimension first.
        dtype: string.
    """

    shape: tuple
    dtype: str


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One call of one operation (a layer or a `keras.ops` node).

    Attributes:
        name: the operation's name, unique over the flattened model; a shared layer's calls
            carry the same name.
        operation: the `keras.Operation` itself.
        args: positional arguments; tensors stand in them as `TracedTensor`.
        kwargs: keyword arguments, likewise.
        inputs: the `TracedTensor`s among the arguments, in order.
        outputs: the tensors the call returns, flat.
    """

    name: str
    operation: keras.Operation
    args: tuple
    kwargs: dict
    inputs: tuple
    outputs: tuple

    @property
    def is_layer(self):
        """Whether the operation is a layer (and not an op node such as `x * 2`)."""
        return isinstance(self.operation, keras.layers.Layer)


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """A model as a flat list of calls in topological order.

    Attributes:
        model: the traced `keras.Model`.
        calls: list of `Call`.
        inputs, outputs: lists of `TracedTensor`, in the order of `model.inputs` and
            `model.outputs`.
    """

    model: keras.Model
    calls: list
    inputs: list
    outputs: list

    @property
    def layers(self):
        """Each layer once, as a dict from its unique name to the layer, in call order."""
        return {call.name: call.operation for call in self.calls if call.is_layer}

    def free_name(self, stem):
        """`stem`, or with a number behind it, so that no operation or input is called that."""
        taken = {call.name for call in self.calls} | set(input_names(self.model))
        taken |= set(_functional(self.model).output_names)
        return free_name(stem, taken)


def trace(model):
    """Flattens a built Functional or Sequential model, nested models included.

    Args:
        model: a built `keras.Model`.

    Returns:
        A `Trace`.

    Raises:
        TypeError: `model` is a subclassed model (its graph cannot be read) or no model.
        ValueError: `model` is not built.
    """
    functional = _functional(model)
    inputs = [_traced(tensor) for tensor in functional.inputs]
    tracer = _Tracer(functional)
    outputs = tracer.walk(functional, inputs, prefix="")
    return Trace(model, _needed(tracer.calls, outputs), inputs, outputs)


def replay(traced, inputs, operation=None, read=None):
    """Runs the calls of a trace again, on symbolic tensors or on arrays.

    Args:
        traced: a `Trace`.
        inputs: list of values, one for each of `traced.inputs`.
        operation: function from a `Call` to what is called in its place; default: the
            operation itself.
        read: function `(call, tensor, value) -> value` through which each call sees its
            inputs; default: unchanged.

    Returns:
        A dict from every `TracedTensor` of the trace to its value.
    """
    operation = operation or (lambda call: call.operation)
    read = read or (lambda call, tensor, value: value)
    values = dict(zip(traced.inputs, inputs, strict=True))
    for call in traced.calls:

        def fill(argument, call=call):
            if isinstance(argument, TracedTensor):
                return read(call, argument, values[argument])
            return argument

        args, kwargs = tree.map_structure(fill, (call.args, call.kwargs))
        results = tree.flatten(operation(call)(*args, **kwargs))
        values.update(zip(call.outputs, results, strict=True))
    return values


def renamed(call):
    """The call's operation for a new functional model, under its unique name.

    Args:
        call: a `Call`.

    Returns:
        A layer itself where it has that name, else one that shares its weights. An op node is made
        anew: used again, it would hold on to every model it is in. (One that cannot state its
        config cannot be made anew, and is used again.)
    """
    operation = call.operation
    if call.is_layer:
        return operation if call.name == operation.name else Alias(operation, name=call.name)
    try:
        config = operation.get_config()
    except NotImplementedError:
        return operation
    return type(operation).from_config({**config, "name": call.name})


@keras.saving.register_keras_serializable(package="keras_cascade")
class Alias(keras.layers.Layer):
    """A layer under another name, sharing its weights: flattening can make two names meet.

    Args:
        layer: the `keras.layers.Layer` that computes.
    """

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer
        self.built = True

    def call(self, *args, **kwargs):
        return self.layer(*args, **kwargs)

    def compute_output_spec(self, *args, **kwargs):
        return self.layer.compute_output_spec(*args, **kwargs)

    def get_config(self):
        return {**super().get_config(), "layer": keras.saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config):
        layer = keras.saving.deserialize_keras_object(config.pop("layer"))
        return cls(layer, **config)


def symbolic_inputs(traced):
    """Fresh `keras.Input`s that take what the traced model's own take, under their names."""
    own = _functional(traced.model).inputs
    return [
        keras.Input(
            batch_shape=tensor.shape,
            dtype=tensor.dtype,
            sparse=tensor.sparse,
            optional=getattr(tensor._keras_history.operation, "optional", False),
            name=tensor._keras_history.operation.name,
        )
        for tensor in own
    ]


def assemble(traced, inputs, values, name):
    """Makes a model of replayed symbolic values.

    Keeps the structure (list, dict, single tensor) and the names of the traced model's
    inputs and outputs.

    Args:
        traced: the `Trace` that was replayed.
        inputs: the symbolic inputs it was replayed on.
        values: what `replay` returned.
        name: the new model's name.

    Returns:
        A functional `keras.Model`.
    """
    graph = _functional(traced.model)
    outputs, named = [], {}
    for tensor, output_name in zip(traced.outputs, graph.output_names, strict=True):
        value = values[tensor]
        # A nested model's output was named after that model, which the trace has dissolved.
        if _source_name(value) != output_name:
            if output_name not in named:
                # Of the value's type: a layer casts what it is given to its own.
                named[output_name] = keras.layers.Identity(name=output_name, dtype=value.dtype)
            value = named[output_name](value)
        outputs.append(value)
    return keras.Model(
        tree.pack_sequence_as(graph.input, inputs),
        tree.pack_sequence_as(graph.output, outputs),
        name=name,
    )


class _Tracer:
    """Walks functional graphs depth by depth, dissolving the models nested in them."""

    def __init__(self, functional):
        self.calls = []
        # The names of inputs and outputs are promised; the layers that bear them keep them.
        bearers = [tensor._keras_history.operation for tensor in functional.outputs]
        self._names = {
            id(bearer): bearer.name for bearer in bearers if nested_functional(bearer) is None
        }
        self._taken = {bearer.name for bearer in bearers} | set(input_names(functional))

    def walk(self, functional, inputs, prefix, training=None):
        """The outputs; `training` is what the call of a nested model fixes for all inside it."""
        known = dict(zip(map(id, functional.inputs), inputs, strict=True))
        for node in _nodes_in_order(functional):
            # The inputs themselves, an intermediate tensor used as one included.
            if node.is_input or all(id(output) in known for output in node.outputs):
                continue
            args, kwargs = node.arguments.fill_in(known)
            if training is not None and isinstance(node.operation, keras.layers.Layer):
                kwargs["training"] = training
            given = dict(zip(("inputs", "training", "mask"), args, strict=False)) | kwargs
            nested = dissolved(node.operation, given)
            if nested is None:
                outputs = self._record(node, args, kwargs, prefix)
            else:
                inside = f"{prefix}{node.operation.name}_"
                pairs = zip(given_inputs(nested, given), nested.inputs, strict=True)
                taken = [self._adapted(tensor, own, inside) for tensor, own in pairs]
                outputs = self.walk(nested, taken, inside, given.get("training"))
            known.update(zip(map(id, node.outputs), outputs, strict=True))
        return [known[id(tensor)] for tensor in functional.outputs]

    def _record(self, node, args, kwargs, prefix):
        if not getattr(node.operation, "_call_has_training_arg", False):
            kwargs.pop("training", None)  # it is for what lies inside, and there nothing takes it
        inputs = _tensors((args, kwargs))
        outputs = _outputs(node, inputs, args, kwargs)
        name = self._unique_name(node.operation, prefix)
        self.calls.append(Call(name, node.operation, tuple(args), dict(kwargs), inputs, outputs))
        return outputs

    def _adapted(self, tensor, own, prefix):
        """The tensor as a nested model takes it for its input `own`, by calls of their own."""
        if not isinstance(tensor, TracedTensor):
            return tensor  # None, for an optional input
        for made in adapted(_symbolic(tensor), own):
            operation = made._keras_history.operation
            # Its own name counts the operations of the session.
            name = free_name(f"{prefix}{type(operation).__name__.lower()}", self._taken)
            self._taken.add(name)
            before, tensor = tensor, _traced(made)
            self.calls.append(Call(name, operation, (before,), {}, (before,), (tensor,)))
        return tensor

    def _unique_name(self, operation, prefix):
        if id(operation) not in self._names:
            name = operation.name
            if name in self._taken:
                name = free_name(prefix + name, self._taken)
            self._taken.add(name)
            self._names[id(operation)] = name
        return self._names[id(operation)]


def _needed(calls, outputs):
    """The calls that the outputs depend on: a nested model may make what nobody uses."""
    wanted, needed = set(outputs), []
    for call in reversed(calls):
        if not wanted.isdisjoint(call.outputs):
            wanted.update(call.inputs)
            needed.append(call)
    return needed[::-1]


def _nodes_in_order(functional):
    """The graph's nodes from input to output, in the order of `functional.operations`."""
    rank = {id(operation): index for index, operation in enumerate(functional.operations)}
    for depth in sorted(functional._nodes_by_depth, reverse=True):
        yield from sorted(
            functional._nodes_by_depth[depth], key=lambda node: rank[id(node.operation)]
        )


def free_name(stem, taken):
    """`stem`, or with a number behind it, so that it is not in `taken`."""
    name, count = stem, 1
    while name in taken:
        name, count = f"{stem}_{count}", count + 1
    return name


def _outputs(node, inputs, args, kwargs):
    """The tensors that the call of a node returns.

    A nested model may be called with other shapes than it was built with: one built for images of
    any size with such of one.
    """
    built_with = [tuple(tensor.shape) for tensor in node.arguments.keras_tensors]
    called_with = [tensor.shape for tensor in inputs]
    if built_with == called_with or len(built_with) != len(called_with):
        return tuple(map(_traced, node.outputs))
    symbolic = tree.map_structure(
        lambda leaf: _symbolic(leaf) if isinstance(leaf, TracedTensor) else leaf, (args, kwargs)
    )
    spec = node.operation.compute_output_spec(*symbolic[0], **symbolic[1])
    return tuple(
        TracedTensor(tuple(made.shape), tensor.dtype)
        for made, tensor in zip(tree.flatten(spec), node.outputs, strict=True)
    )


def _tensors(structure):
    return tuple(leaf for leaf in tree.flatten(structure) if isinstance(leaf, TracedTensor))


def _symbolic(tensor):
    return keras.KerasTensor(tensor.shape, tensor.dtype)


def _traced(tensor):
    return TracedTensor(tuple(tensor.shape), tensor.dtype)


def _source_name(tensor):
    return tensor._keras_history.operation.name


def _functional(model):
    """The functional graph of the model to be traced, or the error that says what to do."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"Expected a keras.Model, got {type(model).__name__}. Pass a built Functional or "
            "Sequential model (a tf_keras model must be rebuilt in Keras 3 first)."
        )
    if isinstance(model, keras.Sequential) and model._functional is None:
        raise ValueError(
            f"Model '{model.name}' is not built, so its shapes are unknown. Start it with "
            "keras.Input(shape) or call model.build((None, ...)) first."
        )
    graph = nested_functional(model)
    if graph is None:
        raise TypeError(
            f"Model '{model.name}' ({type(model).__name__}) is a subclassed model: its call() is "
            "Python code, not a graph of layers, so its channels cannot be followed. Rewrite it "
            "as a Functional model, keras.Model(inputs, outputs)."
        )
    return graph
