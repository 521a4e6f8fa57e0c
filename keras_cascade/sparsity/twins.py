"""Twins: one Keras object's counterpart in the other library, by class name and config.

Keras 3 and tf_keras serialise alike: a class name, a config of plain values, and inside it
whatever else an object is made of (activations, regularisers, constraints, wrapped layers,
learning-rate schedules). So one translation serves every kind of object, in both directions. It
never guesses: an option the other library lacks may be left out only where it has its default
value; anything else is an error. Whether equal names mean the same is for the bridge to verify.
"""

import dataclasses
import functools
import importlib
import inspect
import types

import keras
import numpy as np
from keras import ops

from keras_cascade.sparsity.toolkit import import_tf_keras
from keras_cascade.surgery.layer_state import has_assets

_MODULES = (
    "keras.layers",
    "keras.regularizers",
    "keras.constraints",
    "keras.losses",
    "keras.metrics",
    "keras.optimizers",
    "keras.optimizers.schedules",
)
# The same option under another name: class name, name in Keras 3, name in tf_keras.
_RENAMED = (("LeakyReLU", "negative_slope", "alpha"),)
# Random draws do not carry over anyhow; how a recurrent layer computes is not what it computes; and
# layers that do not take `trainable` have no weights.
_NO_MATTER = {"implementation", "seed", "trainable"}
# What only describes how an object came about; both libraries find it out anew.
_DERIVED = {
    "batch_input_shape",
    "is_legacy_optimizer",
    "jit_compile",
    "key_shape",
    "query_shape",
    "value_shape",
}
# What a library means that lacks the option.
_IMPLIED = {"data_format": "channels_last"}


class NoTwin(ValueError):
    """An object has no counterpart in the other library; the message says which part of it."""


@dataclasses.dataclass(frozen=True)
class Translation:
    """From one library to the other.

    Attributes:
        source, target: the modules `keras` and `tf_keras`, or the other way round.
        activation: function from an activation's name in `source` to what `target` takes.
        renamed: dict from (class name, option) in `source` to the option in `target`.
        op_layers: classes of `source` layers that are op nodes.
    """

    source: types.ModuleType
    target: types.ModuleType
    activation: object
    renamed: dict
    op_layers: tuple = ()

    def is_layer(self, operation):
        """Whether an operation is a layer, not an op node."""
        return isinstance(operation, self.source.layers.Layer) and not isinstance(
            operation, self.op_layers
        )

    def twin(self, item, name=None):
        """The counterpart of a layer, optimizer, loss, ...: made from its config, not built.

        Args:
            item: an object of the source library.
            name: the twin's name; default: that of the object.

        Raises:
            NoTwin: the class, or an option, has no counterpart.
        """
        if isinstance(item, self.source.layers.Lambda):
            raise NoTwin("a Lambda holds Python code, which nobody can translate")
        serialised = self.source.saving.serialize_keras_object(item)
        if name is not None:
            serialised["config"]["name"] = name
        return self._made(serialised)

    def _made(self, serialised):
        class_name, config = serialised["class_name"], serialised["config"]
        source = self._class_of(serialised, self.source)
        target = self._class_of(serialised, self.target)
        accepted = _parameters(target)
        options = {}
        for key, value in config.items():
            if key.endswith("initializer") or key in _DERIVED:
                continue  # the weights themselves follow
            if (class_name, key) == ("BatchNormalization", "axis") and isinstance(value, list):
                (value,) = value  # as tf_keras states it
            here = self.renamed.get((class_name, key), key)
            if here in accepted:
                options[here] = self._value(key, value)
            elif key not in _NO_MATTER and not (
                _is_default(source, key, value) or _IMPLIED.get(key) == value
            ):
                raise NoTwin(f"{self.target.__name__}'s {class_name} has no option {key}={value!r}")
        return target(**options)

    def _class_of(self, serialised, library):
        module, name = serialised["module"] or "", serialised["class_name"]
        if ".src.applications." in module:
            module = f"{library.__name__}.{module.split('.', 1)[1]}"
            found = getattr(importlib.import_module(module), name, None)
        elif module.split(".")[0] != "keras" or serialised["registered_name"] is not None:
            raise NoTwin(f"{name} is a class of your own, unknown to {self.target.__name__}")
        elif module not in _MODULES:
            raise NoTwin(f"{self.target.__name__} has no {name}")
        elif has_assets(getattr(keras.layers, name, None)):
            raise NoTwin(f"the state of a {name} is not in its weights")
        else:
            home = library
            for part in module.split(".")[1:]:
                home = getattr(home, part)
            found = getattr(home, name, None)
        if found is None:
            raise NoTwin(f"{library.__name__} has no {name}")
        return found

    def _value(self, key, value):
        if isinstance(value, list | tuple):
            return [self._value(key, entry) for entry in value]
        if key.endswith("activation"):
            if isinstance(value, str):
                return self.activation(value)
            if isinstance(value, dict) and value.get("module") != "keras.layers":
                return self._registered_activation(value)
        if not (isinstance(value, dict) and "class_name" in value):
            return value
        if value["class_name"] in ("DTypePolicy", "Policy"):
            return value["config"]["name"]
        return self._made(value)

    def _registered_activation(self, value):
        name = str(value.get("config"))
        if not name.startswith("keras_cascade>"):
            raise NoTwin("its activation is a function of your own; use one by its name")
        return self.activation(name)


def to_tf_keras():
    """The `Translation` from Keras 3 to tf_keras."""
    _, tf_keras = import_tf_keras()
    from keras_cascade.sparsity.activations import BY_NAME

    def activation(name):
        if name in BY_NAME:
            return BY_NAME[name]
        if name == "silu":
            return "swish"
        if not hasattr(tf_keras.activations, name):
            raise NoTwin(f"tf_keras has no activation '{name}'")
        return name

    renamed = {(kind, ours): theirs for kind, ours, theirs in _RENAMED}
    return Translation(keras, tf_keras, activation, renamed)


def from_tf_keras():
    """The `Translation` from tf_keras to Keras 3."""
    _, tf_keras = import_tf_keras()
    from tf_keras.src.layers.core import tf_op_layer

    def activation(name):
        if name.startswith("keras_cascade>"):
            return name.removeprefix("keras_cascade>")
        if name == "hard_sigmoid":
            raise NoTwin("Keras 3 has no activation like tf_keras's hard_sigmoid")
        if not hasattr(keras.activations, name):
            raise NoTwin(f"Keras 3 has no activation '{name}'")
        return name

    renamed = {(kind, theirs): ours for kind, ours, theirs in _RENAMED}
    op_layers = tf_op_layer.TFOpLambda, tf_op_layer.ClassMethod, tf_op_layer.InstanceProperty
    return Translation(tf_keras, keras, activation, renamed, op_layers)


def copy_weights(source, target):
    """Moves a built layer's weights to its built twin, through NumPy.

    Raises:
        NoTwin: the two do not have the same weights.
    """
    values = [_as_array(value) for value in source.weights]
    shapes = [value.shape for value in values], [tuple(value.shape) for value in target.weights]
    if shapes[0] != shapes[1]:
        raise NoTwin(f"its weights have shapes {shapes[0]}, its twin's {shapes[1]}")
    target.set_weights(values)
    if hasattr(target, "finalize_state"):  # Normalization keeps tensors derived from weights
        target.finalize_state()


def _as_array(variable):
    if isinstance(variable, keras.Variable):
        return np.array(ops.convert_to_numpy(variable))
    return variable.numpy()


@functools.cache
def _parameters(kind):
    """Names that a class' constructor takes, those it hands on to its base classes included."""
    names = set()
    for base in kind.__mro__:
        constructor = vars(base).get("__init__")
        if constructor is not None:
            names |= set(_own_parameters(base))
            kinds = {one.kind for one in inspect.signature(constructor).parameters.values()}
            if inspect.Parameter.VAR_KEYWORD not in kinds:
                break
    return names


def _is_default(kind, key, value):
    for base in kind.__mro__:
        parameter = _own_parameters(base).get(key)
        if parameter is not None and parameter.default is not parameter.empty:
            return parameter.default == value
    return value is None or value is False  # taken out of **kwargs, and off


@functools.cache
def _own_parameters(kind):
    """Parameters of the constructor this very class defines, by name."""
    constructor = vars(kind).get("__init__")
    if constructor is None or kind is object:
        return {}
    (_, *parameters) = inspect.signature(constructor).parameters.values()
    various = inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
    return {one.name: one for one in parameters if one.kind not in various}
