"""Layer state: all that a layer is besides its config, weights and what else it saves.

Keras lets a layer save more than its weights (a vocabulary) and derive from what it loads
(Normalization, from its statistics). A copy goes the way of saving and loading, in memory.
"""

import tempfile

import keras
import numpy as np
from keras import ops

from keras_cascade.surgery.verification import SurgeryError

_VARIABLES = "save_own_variables", "load_own_variables"
_ASSETS = "save_assets", "load_assets"
# Here Keras has its own ways because of LoRA and quantisation; what they save are weights.
_WEIGHTS_ALONE = ("keras.src.layers.core.", "keras.src.layers.convolutional.")


def copy_state(source, target, values):
    """Gives a layer what another has learned.

    Args:
        source: a built `keras.layers.Layer`.
        target: one made from its config, built, with as many weights.
        values: list of arrays, one for each weight: the source's, or slices of them.

    Raises:
        SurgeryError: the layers inside are others, or do not load what they save.
    """
    target.set_weights(values)
    value_of = dict(zip(map(id, source.weights), values, strict=True))
    own, others = _with_more_state(source), _with_more_state(target)
    if list(map(type, own)) != list(map(type, others)):
        raise SurgeryError(
            f"Layer '{source.name}' ({type(source).__name__}) made from its config has other "
            "layers inside. Its get_config() must describe all that it builds."
        )
    for one, other in zip(own, others, strict=True):
        try:
            if _overrides(type(one), _VARIABLES):
                _copy_variables(one, other, value_of)
            if has_assets(type(one)):
                _copy_assets(one, other)
        except Exception as error:
            raise SurgeryError(
                f"Layer '{source.name}' ({type(source).__name__}) cannot be copied: the state that "
                f"{type(one).__name__} saves with its weights cannot be loaded again: "
                f"{type(error).__name__}: {error}. See that its load_own_variables() and "
                "load_assets() take what save_own_variables() and save_assets() save."
            ) from error


def enable_lora_alike(source, target):
    """Enables LoRA where a layer inside has it and the config of the layer around does not say so.

    Args:
        source: a built `keras.layers.Layer`.
        target: one made from its config, built.
    """
    for one, other in zip(source._flatten_layers(), target._flatten_layers(), strict=False):
        if getattr(one, "lora_enabled", False) and not getattr(other, "lora_enabled", True):
            other.enable_lora(one.lora_rank, lora_alpha=one.lora_alpha)


def has_assets(layer_type):
    """Whether layers of a class have state that is in neither their config nor their weights."""
    return _overrides(layer_type, _ASSETS)


def _with_more_state(layer):
    """Of a layer and all layers inside it, those that save or load in a way of their own."""
    return [one for one in layer._flatten_layers() if _overrides(type(one), _VARIABLES + _ASSETS)]


def _overrides(layer_type, names):
    plain = [getattr(keras.layers.Layer, name, None) for name in names]
    found = [getattr(layer_type, name, None) for name in names]
    return any(
        one is not other and not one.__module__.startswith(_WEIGHTS_ALONE)
        for one, other in zip(found, plain, strict=True)
    )


def _copy_variables(source, target, value_of):
    saved = {}
    source.save_own_variables(saved)
    for key, value in saved.items():
        if id(value) in value_of:
            saved[key] = value_of[id(value)]
        elif isinstance(value, keras.Variable) or ops.is_tensor(value):
            saved[key] = ops.convert_to_numpy(value)
        else:
            saved[key] = np.asarray(value)
    target.load_own_variables(saved)


def _copy_assets(source, target):
    with tempfile.TemporaryDirectory() as folder:
        source.save_assets(folder)
        target.load_assets(folder)
