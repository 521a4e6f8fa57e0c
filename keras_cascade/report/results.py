"""Results as JSON files, and what they depend on."""

import importlib.metadata
import json
import os
import pathlib
import platform
import tempfile
from typing import Any

import keras

from keras_cascade.report.files import whole_file
from keras_cascade.typing import Path, Record
from keras_cascade.version import __version__

_PACKAGES = ("keras", "tensorflow", "numpy", "tensorflow-datasets", "ai-edge-litert")


def write_json(path: Path, content: Any) -> None:
    """Writes JSON as a whole: see `whole_file`.

    Args:
        path: where to write.
        content: what `json` can hold.
    """
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def writable_folder(path: Path) -> pathlib.Path:
    """Makes a folder if need be and proves that it can be written, before hours of training.

    Args:
        path: the folder.

    Returns:
        It as a `pathlib.Path`.

    Raises:
        OSError: it cannot be made or written; the message names it.
    """
    folder = pathlib.Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"Cannot write to the output folder '{folder}': {error.strerror}. Choose another, or "
            "change its permissions."
        ) from error
    return folder


def versions() -> Record:
    """What a run ran on: dict of versions, backend and processor count."""
    found: Record = {"keras_cascade": __version__, "python": platform.python_version()}
    backend = keras.backend.backend()
    for package in dict.fromkeys((*_PACKAGES, backend)):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    machine = {"platform": platform.platform(), "cpus": os.cpu_count()}
    return {**found, "backend": backend, **machine}


def device() -> str:
    """The name of the accelerator that Keras computes on, or "CPU"; returns a string."""
    return _DEVICES[keras.backend.backend()]() or "CPU"


def _on_tensorflow():
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else None


def _on_jax():
    import jax

    first = jax.devices()[0]
    return None if first.platform == "cpu" else first.device_kind


def _on_torch():
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


_DEVICES = {"tensorflow": _on_tensorflow, "jax": _on_jax, "torch": _on_torch}
