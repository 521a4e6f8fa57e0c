"""Tracing a tf_keras model: the flat list of calls that `graph.tracing` makes of a Keras 3 one.

Its op layers (`x * 2` is a TFOpLambda) stand in the calls as what they are, layers of tf_keras.
"""

import warnings

from keras import tree

from keras_cascade.graph.tracing import Call, Trace, TracedTensor, free_name
from keras_cascade.sparsity.toolkit import import_tf_keras


def trace_tf_keras(model):
    """Flattens a built functional or Sequential tf_keras model, nested models included.

    Args:
        model: a `tf_keras.Model`.

    Returns:
        A `Trace`; its calls' operations are tf_keras layers, and names have "_" for "/".

    Raises:
        TypeError: `model` is a subclassed model or no tf_keras model.
        ValueError: `model` is not built, has wrappers of TF-MOT, or a layer that was called with
            training=True.
    """
    _, tf_keras = import_tf_keras()
    if not isinstance(model, tf_keras.Model):
        raise TypeError(f"Expected a tf_keras.Model, got {type(model).__name__}.")
    if isinstance(model, tf_keras.Sequential) and not model._is_graph_network:
        raise ValueError(
            f"Model '{model.name}' is not built, so its shapes are unknown. Start it with "
            "tf_keras.Input(shape), or call it once."
        )
    if not model._is_graph_network:
        raise TypeError(
            f"Model '{model.name}' ({type(model).__name__}) is a subclassed model: its call() is "
            "Python code, not a graph of layers. Rewrite it as a functional model."
        )
    tracer = _Tracer(tf_keras, model)
    inputs = [_traced(tensor) for tensor in model.inputs]
    outputs = tracer.walk(model, inputs, prefix="")
    return Trace(model, tracer.calls, inputs, outputs)


class _Tracer:
    def __init__(self, tf_keras, model):
        self.calls = []
        self._models = tf_keras.Model
        self._recurrent = tf_keras.layers.RNN, tf_keras.layers.Bidirectional
        # The names of inputs and outputs are promised; the layers that bear them keep them.
        bearers = [tensor._keras_history.layer for tensor in [*model.outputs, *model.inputs]]
        bearers = [bearer for bearer in bearers if not isinstance(bearer, tf_keras.Model)]
        self._names = {id(bearer): without_slash(bearer.name) for bearer in bearers}
        self._taken = set(self._names.values())

    def walk(self, model, inputs, prefix):
        known = dict(zip(map(id, model.inputs), inputs, strict=True))
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if not node.is_input:
                    known.update(self._called(node, known, prefix))
        return [known[id(tensor)] for tensor in model.outputs]

    def _called(self, node, known, prefix):
        """The outputs of a node, by the id of what tf_keras has in their place."""
        layer = node.layer
        args, kwargs = tree.map_structure(
            lambda leaf: known[id(leaf)] if id(leaf) in known else _constant(layer, leaf),
            (tuple(node.call_args), dict(node.call_kwargs)),
        )
        _check(layer, kwargs)
        if isinstance(layer, self._models) and layer._is_graph_network:
            given = layer._flatten_to_reference_inputs(args[0] if args else kwargs["inputs"])
            outputs = self.walk(layer, given, f"{prefix}{without_slash(layer.name)}_")
        else:
            kwargs.pop("training", None)
            if isinstance(layer, self._recurrent) and args and isinstance(args[0], list):
                ((inputs, *states),) = args  # as tf_keras keeps the initial state
                args, kwargs = (inputs,), {**kwargs, "initial_state": states}
            outputs = tuple(_traced(tensor) for tensor in tree.flatten(node.outputs))
            leaves = tree.flatten((args, kwargs))
            inputs = tuple(leaf for leaf in leaves if isinstance(leaf, TracedTensor))
            name = self._unique_name(layer, prefix)
            self.calls.append(Call(name, layer, args, kwargs, inputs, outputs))
        return zip(map(id, tree.flatten(node.outputs)), outputs, strict=True)

    def _unique_name(self, layer, prefix):
        if id(layer) not in self._names:
            name = without_slash(layer.name)
            if name in self._taken:
                name = free_name(prefix + name, self._taken)
            self._taken.add(name)
            self._names[id(layer)] = name
        return self._names[id(layer)]


def without_slash(name):
    """A name that Keras 3 takes too."""
    return name.replace("/", "_")


def _check(layer, kwargs):
    if type(layer).__module__.startswith("tensorflow_model_optimization."):
        raise ValueError(
            f"Layer '{layer.name}' is wrapped by TF-MOT ({type(layer).__name__}). Take the "
            "wrappers off first: tfmot.sparsity.keras.strip_pruning(model)."
        )
    if kwargs.get("training"):
        raise ValueError(
            f"Layer '{layer.name}' was called with training=True, which a Keras 3 model overrides "
            "when it predicts. Rebuild the model without it."
        )
    if kwargs.get("training") is not None:
        warnings.warn(
            f"Layer '{layer.name}' was called with training=False, which a Keras 3 model overrides "
            "when it is trained. To keep normalisation as it is, set its layers' trainable=False.",
            stacklevel=6,
        )


def _constant(layer, leaf):
    """A constant of the graph, as an array where it is a tensor."""
    tf, _ = import_tf_keras()
    if isinstance(leaf, tf.Variable):
        raise ValueError(
            f"Layer '{layer.name}' reads a tf.Variable of your own, '{leaf.name}'. Put it into a "
            "layer, or pass its value."
        )
    return leaf.numpy() if isinstance(leaf, tf.Tensor) else leaf


def _traced(tensor):
    return TracedTensor(tuple(tensor.shape), tensor.dtype.name)
