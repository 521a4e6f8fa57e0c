"""Remaking: operations made anew from their configs, as Keras does when it loads a model.

What a config only names, because it is the user's own, is taken from the live object. Layers that
share weights are made together, so that what one holds of another is the same object again.
"""

import contextlib
import types

import keras
from keras import tree
from keras.src.backend.common import global_state

from keras_cascade.surgery.verification import SurgeryError

# What a layer is made of, and may be of the user's own making.
_PARTS = (
    types.FunctionType,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    keras.initializers.Initializer,
)
# What has a state of its own: as it is in a config, the copy would share that.
_STATEFUL = keras.layers.Layer, keras.random.SeedGenerator


def operations_anew(wanted, sharing=()):
    """Makes operations anew.

    Args:
        wanted: dict from any key to `(operation, name, counted)`: what is made anew, the name it
            gets, and a function from its config to one with other channel counts.
        sharing: the keys of those that hold weights which others hold too.

    Returns:
        Dict from key to operation.

    Raises:
        SurgeryError: an operation cannot be made from its config.
    """
    together = [key for key in wanted if key in sharing]
    remade = _made_together({key: wanted[key] for key in together})
    with _object_sharing(None, None):
        for key, (operation, name, counted) in wanted.items():
            if key not in remade:
                remade[key] = _made(operation, counted(_unbuilt(_config(operation))), name)
    return {key: remade[key] for key in wanted}


def operation_anew(operation, name):
    """As `operations_anew`, of one operation whose channel counts stay."""
    return operations_anew({name: (operation, name, lambda config: config)})[name]


def _made_together(wanted):
    """As `operations_anew`, of operations that hold one another or the same layers."""
    serialised = {}
    with _object_sharing({}, serialised):
        configs = {key: _config(operation) for key, (operation, _, _) in wanted.items()}
        for operation, _, _ in wanted.values():
            if id(operation) in serialised:  # it is inside another, too
                serialised[id(operation)]["shared_object_id"] = id(operation)
    remade, made = {}, {}
    with _object_sharing(made, {}):
        for key in sorted(wanted, key=lambda key: len(_layers_in(wanted[key][0]))):
            operation, name, counted = wanted[key]
            config = counted(_unbuilt(configs[key]))
            remade[key] = made[id(operation)] = _made(operation, config, name)
    return remade


@contextlib.contextmanager
def _object_sharing(made, serialised):
    """What Keras knows of objects it has made or serialised; None: of none, and it learns nothing.

    A model that is being loaded has its own such memory, which must neither be used nor lost.
    """
    names = "shared_objects/id_to_obj_map", "shared_objects/id_to_config_map"
    before = [global_state.get_global_attribute(name) for name in names]
    try:
        for name, value in zip(names, (made, serialised), strict=True):
            global_state.set_global_attribute(name, value)
        yield
    finally:
        for name, value in zip(names, before, strict=True):
            global_state.set_global_attribute(name, value)


def _config(operation):
    """A config as Keras would save it, as far as it holds layers."""
    try:
        return {key: _serialised(value) for key, value in operation.get_config().items()}
    except NotImplementedError as error:
        raise SurgeryError(
            f"Layer '{operation.name}' ({type(operation).__name__}) cannot be made anew: it "
            "has no get_config() for what its __init__ takes. Give it one."
        ) from error


def _serialised(value):
    if any(isinstance(leaf, _STATEFUL) for leaf in tree.flatten(value)):
        return keras.saving.serialize_keras_object(value)
    return value


def _unbuilt(config):
    """A config whose layers inside would not be built at once, with the shapes they had."""
    if any(isinstance(value, dict) and "build_config" in value for value in config.values()):
        return _without_build_configs(config)
    return config


def _without_build_configs(config):
    """A config whose layers inside, at any depth, do not say with which shapes they were built."""
    return {
        key: _without_build_configs(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key != "build_config"
    }


def _made(operation, config, name):
    """An operation of that config and name, also where its config has no name."""
    config = {**config, **_live_parts(operation, config)}
    if "name" in config:
        config["name"] = name
    try:
        with keras.saving.custom_object_scope(_classes_inside(operation)):
            made = _from_config(operation, config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise SurgeryError(
            f"Layer '{name}' ({type(operation).__name__}) cannot be made anew from its "
            f"config: {error}. Give it a get_config() that from_config() accepts."
        ) from error
    if made.name != name:
        made.name = name
    return made


def _from_config(operation, config):
    if isinstance(operation, keras.layers.Lambda):  # its from_config takes no function
        return type(operation)(**config)
    return type(operation).from_config(config)


def _live_parts(operation, config):
    """What of the user's own a config names, at best, but does not hold; by config key."""
    if isinstance(operation, keras.layers.Lambda):
        return {
            "function": operation.function,
            "output_shape": operation._output_shape,
            "mask": operation.mask,
            "arguments": dict(operation.arguments),
        }
    live = {key: getattr(operation, key, getattr(operation, f"_{key}", None)) for key in config}
    return {k: v for k, v in live.items() if isinstance(v, _PARTS) and _is_users(v)}


def _classes_inside(operation):
    """The user's own classes and functions that layers inside are made of, by their names."""
    found = {}
    for layer in _layers_in(operation):
        for value in (layer, *vars(layer).values()):
            if isinstance(value, (keras.layers.Layer, *_PARTS)) and _is_users(value):
                one = value if isinstance(value, types.FunctionType) else type(value)
                found.setdefault(one.__name__, set()).add(one)
    return {name: ones.pop() for name, ones in found.items() if len(ones) == 1}


def _is_users(value):
    """Whether a config may lose it; of `ops.gelu` it would make another function of that name."""
    home = value if isinstance(value, types.FunctionType) else type(value)
    module = home.__module__ or ""
    return not module.startswith("keras.") or module.startswith("keras.src.ops.")


def _layers_in(operation):
    """The layer and all layers inside it; an op node has none."""
    return list(operation._flatten_layers()) if hasattr(operation, "_flatten_layers") else []
