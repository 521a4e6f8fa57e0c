"""The bridge: a Keras 3 model as a tf_keras model, and back.

TF-MOT and much else that is older than Keras 3 takes tf_keras models only. The calls of the model's
trace are replayed with each operation's twin in its place, each layer made once, and the weights
moved layer by layer through NumPy, so that it works from every Keras backend. Nothing is trusted:
unless told otherwise, every call of the twin is compared with the original's.
"""

import keras
from keras import tree

from keras_cascade.graph.tracing import Alias, replay, trace
from keras_cascade.sparsity import operations, twins, verification
from keras_cascade.sparsity.toolkit import import_tf_keras


def to_tf_keras(model, *, verify=True):
    """Builds the tf_keras model that computes the same as a Keras 3 model.

    Args:
        model: a built Functional or Sequential `keras.Model`, on any Keras backend; it is not
            changed.
        verify: whether to compare the two call by call on a random batch (default True).

    Returns:
        A functional `tf_keras.Model`, nested models dissolved, not compiled, with the same names,
        weights, input and output structure, regularisers, constraints and trainable flags. What
        draws initial weights is not carried over. `tf_keras` itself saves and loads it where its
        layers are tf_keras's own.

    Raises:
        TypeError: `model` is a subclassed model or no model.
        ValueError: `model` is not built; a layer, an option or an op node has no counterpart in
            tf_keras; or one of the same name computes something else.
        ImportError: tf_keras is not installed.

    Example:

    ```python
    old = kc.to_tf_keras(model)
    old.save("model.h5")
    ```
    """
    return Bridge(model, verify=verify).model


class Bridge:
    """A Keras 3 model and its tf_keras twin, layer by layer.

    Args:
        model: a built Functional or Sequential `keras.Model`.
        verify: whether to compare the two call by call.

    Attributes:
        trace: the model's `Trace`.
        layers: dict from a layer's name in the trace to the tf_keras layer.
        model: the tf_keras model.
    """

    def __init__(self, model, verify=True):
        import_tf_keras()
        self.trace = trace(model)
        self._translation = twins.to_tf_keras()
        self._made, self.layers = {}, {}
        self.model = self.assemble()
        for name, layer in self.trace.layers.items():
            _saying(twins.copy_weights, name, layer)(_source(layer), self.layers[name])
        if verify:
            verification.verify(self.trace, self.twin)

    def assemble(self, stand_in=None):
        """The tf_keras model, with some layers exchanged.

        Args:
            stand_in: dict from a layer's name to what is called in its place.

        Returns:
            A functional `tf_keras.Model` of the layers in `layers`.
        """
        _, tf_keras = import_tf_keras()
        graph = _functional(self.trace.model)
        inputs = [
            tf_keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=source.name)
            for tensor, source in zip(self.trace.inputs, graph.inputs, strict=True)
        ]
        values = replay(self.trace, inputs, lambda call: self.twin(call, stand_in))
        named = dict(zip(self.trace.inputs, [source.name for source in graph.inputs], strict=True))
        for call in self.trace.calls:
            named.update(dict.fromkeys(call.outputs, call.name if call.is_layer else None))
        outputs = []
        for tensor, name in zip(self.trace.outputs, graph.output_names, strict=True):
            value = values[tensor]
            if named[tensor] != name:  # made by an op node, or the output of a nested model
                value = tf_keras.layers.Identity(name=name)(value)
            outputs.append(value)
        return tf_keras.Model(
            tree.pack_sequence_as(graph.input, inputs),
            tree.pack_sequence_as(graph.output, outputs),
            name=self.trace.model.name,
        )

    def twin(self, call, stand_in=None):
        """What tf_keras calls in the place of a call of the trace."""
        operation = (stand_in or {}).get(call.name) or self._operation(call)

        def called(*args, **kwargs):
            # Keras 3 records the mode a layer was called in, and the model's own overrides it.
            kwargs = {key: value for key, value in kwargs.items() if key != "training"}
            return operation(*args, **kwargs)

        return _saying(called, call.name, call.operation)

    def _operation(self, call):
        if not call.is_layer:
            return _saying(operations.to_tensorflow, call.name, call.operation)(call)
        source = _source(call.operation)
        if id(source) not in self._made:
            made = _saying(self._translation.twin, call.name, source)(source, call.name)
            self._made[id(source)] = made
        self.layers[call.name] = self._made[id(source)]
        return self.layers[call.name]


def _saying(function, name, operation):
    """The function, with an error that names the layer it fails for."""

    def called(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except (TypeError, ValueError, NotImplementedError, ArithmeticError) as error:
            raise ValueError(
                f"Layer '{name}' ({type(operation).__name__}) has no counterpart in tf_keras: "
                f"{error}. Build this part of the model from layers and operations that both "
                "libraries have."
            ) from error

    return called


def _source(layer):
    """The layer that computes; flattening may have given it another name."""
    return layer.layer if isinstance(layer, Alias) else layer


def _functional(model):
    return model._functional if isinstance(model, keras.Sequential) else model
