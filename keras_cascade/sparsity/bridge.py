"""The bridge: a Keras 3 model as a tf_keras model, and back.

TF-MOT and much else that is older than Keras 3 takes tf_keras models only. The calls of the model's
trace are replayed with each operation's twin in its place, each layer made once, and the weights
moved layer by layer through NumPy, so that it works from every Keras backend. Nothing is trusted:
unless told otherwise, every call of the twin is compared with the original's.
"""

import textwrap
from typing import Any

import keras
from keras import ops, tree

from keras_cascade.graph.tracing import Alias, free_name, replay, trace
from keras_cascade.sparsity import operations, twins, verification
from keras_cascade.sparsity.tf_keras_tracing import trace_tf_keras, without_slash
from keras_cascade.sparsity.toolkit import import_tf_keras


def to_tf_keras(model: keras.Model, *, verify: bool = True) -> Any:
    """Builds the tf_keras model that computes the same as a Keras 3 model.

    Args:
        model: a built Functional or Sequential `keras.Model`, on any Keras backend; it is not
            changed.
        verify: whether to compare the two call by call on a random batch, in inference mode
            (default True).

    Returns:
        A functional `tf_keras.Model`, nested models dissolved, not compiled, with the same layer
        names, weights, input and output names and structure, regularisers, constraints, dtype
        policies and trainable flags. What draws initial weights is not carried over. tf_keras
        itself saves and loads it where its layers are tf_keras's own; activations that only
        Keras 3 has need `import keras_cascade.sparsity.activations` first.

    Raises:
        TypeError: `model` is a subclassed model or no model.
        ValueError: `model` is not built; a layer, an option or an op node has no counterpart in
            tf_keras; or one of the same name computes something else.
        ImportError: tf_keras is not installed.

    Example:

    ```python
    old = kc.to_tf_keras(model)
    old.save("old.keras")
    ```
    """
    return Bridge(model, verify=verify).model


def from_tf_keras(model: Any, *, name: str | None = None, verify: bool = True) -> keras.Model:
    """Builds the Keras 3 model that computes the same as a tf_keras model.

    Args:
        model: a built functional or Sequential `tf_keras.Model`; it is not changed.
        name: the new model's name; default: that of the model.
        verify: whether to compare the two call by call on a random batch, in inference mode
            (default True).

    Returns:
        A functional `keras.Model`; what is said of `to_tf_keras` holds for it too. Layer names
        have "_" for "/".

    Raises:
        TypeError: `model` is a subclassed model or no tf_keras model.
        ValueError: `model` is not built or still has TF-MOT's wrappers; a layer, an option or a
            function of TensorFlow has no counterpart in Keras 3; or one of the same name computes
            something else.
        ImportError: tf_keras is not installed.

    Example:

    ```python
    new = kc.from_tf_keras(kc.to_tf_keras(model), name="new")
    ```
    """
    return Bridge(model, back=True, name=name, verify=verify).model


class Bridge:
    """A model and its twin in the other library, layer by layer.

    Args:
        model: a built Functional or Sequential model, of Keras 3 or, with `back`, of tf_keras.
        back: whether to go from tf_keras to Keras 3.
        name: the twin's name; default: that of the model.
        verify: whether to compare the two call by call.

    Attributes:
        trace: the model's `Trace`.
        layers: dict from a layer's name in the trace to its twin.
        model: the twin.
    """

    def __init__(self, model, *, back=False, name=None, verify=True):
        tf, _ = import_tf_keras()
        self.trace = trace_tf_keras(model) if back else trace(model)
        self._translation = twins.from_tf_keras() if back else twins.to_tf_keras()
        self._op = operations.from_tensorflow if back else operations.to_tensorflow
        self._graph = model._functional if isinstance(model, keras.Sequential) else model
        self._name = name or model.name
        self._made, self.layers = {}, {}
        self.model = self.assemble()
        for call in self.trace.calls:
            if call.name in self.layers:
                twin = self.layers[call.name]
                self._saying(twins.copy_weights, call)(_source(call.operation), twin)
        if verify:
            tensors = ops.convert_to_tensor, tf.convert_to_tensor
            verification.verify(self.trace, self.twin, *(tensors[::-1] if back else tensors))

    def assemble(self, stand_in=None):
        """The twin, with some layers exchanged.

        Args:
            stand_in: dict from a layer's name to what is called in its place.

        Returns:
            A functional model of the layers in `layers`.
        """
        target = self._translation.target
        names = [without_slash(tensor._keras_history[0].name) for tensor in self._graph.inputs]
        inputs = [
            target.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
            for tensor, name in zip(self.trace.inputs, names, strict=True)
        ]
        values = replay(self.trace, inputs, lambda call: self.twin(call, stand_in))
        if self._translation.op_layers:
            self._name_operations(values, names)
        named = dict(zip(self.trace.inputs, names, strict=True))
        for call in self.trace.calls:
            if self._translation.is_layer(call.operation):
                named.update(dict.fromkeys(call.outputs, call.name))
        outputs = []
        for tensor, name in zip(self.trace.outputs, self._graph.output_names, strict=True):
            value = values[tensor]
            if named.get(tensor) != without_slash(name):  # of an op node, or of a nested model
                value = target.layers.Identity(name=without_slash(name))(value)
            outputs.append(value)
        return target.Model(
            tree.pack_sequence_as(self._graph.input, inputs),
            tree.pack_sequence_as(self._graph.output, outputs),
            name=self._name,
        )

    def _name_operations(self, values, input_names):
        """Names op nodes of Keras 3: the names it makes up itself may be those of layers."""
        taken = {*self.layers, *input_names, *map(without_slash, self._graph.output_names)}
        for call in self.trace.calls:
            if not self._translation.is_layer(call.operation):
                name = free_name(call.name, taken)
                taken.add(name)
                values[call.outputs[0]]._keras_history.operation.name = name

    def twin(self, call, stand_in=None):
        """What the other library calls in the place of a call of the trace.

        Args:
            call: a `Call`.
            stand_in: see `assemble`.
        """
        operation = (stand_in or {}).get(call.name) or self._operation(call)

        def called(*args, **kwargs):
            # Keras 3 records the mode a layer was called in, and the model's own overrides it.
            kwargs = {key: value for key, value in kwargs.items() if key != "training"}
            return operation(*args, **kwargs)

        return self._saying(called, call)

    def _operation(self, call):
        if not self._translation.is_layer(call.operation):
            return self._saying(self._op, call)(call.operation)
        source = _source(call.operation)
        if id(source) not in self._made:
            made = self._saying(self._translation.twin, call)(source, call.name)
            self._made[id(source)] = made
        self.layers[call.name] = self._made[id(source)]
        return self.layers[call.name]

    def _saying(self, function, call):
        """The function, with an error that names the call it fails for."""

        def called(*args, **kwargs):
            try:
                return function(*args, **kwargs)
            except Exception as error:  # TensorFlow has errors of many kinds
                reason = textwrap.shorten(str(error) or type(error).__name__, 300)
                raise ValueError(
                    f"'{call.name}' ({type(call.operation).__name__}) has no counterpart in "
                    f"{self._translation.target.__name__}: {reason.rstrip('.')}. Build this "
                    "part of the model from layers and operations that both libraries have."
                ) from error

        return called


def _source(layer):
    """The layer that computes; flattening may have given it another name."""
    return layer.layer if isinstance(layer, Alias) else layer
