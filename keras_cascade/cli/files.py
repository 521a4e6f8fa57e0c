"""Models as files of the command line: loaded safely, written whole, with what was done to them."""

import json
import os
import pathlib
import zipfile

import keras
from absl import flags

from keras_cascade.deploy import write_keras
from keras_cascade.profile import profile
from keras_cascade.report import whole_file, writable_folder, write_json

SIZES = ("params", "not zero", "MACs", "bytes")

flags.DEFINE_bool(
    "allow_unsafe",
    False,
    "Load models that hold Python code (Lambda layers). Only for files you trust: it is run.",
)


def load_model(path):
    """Loads a `.keras` file.

    Args:
        path: of the file.

    Returns:
        `keras.Model`, not compiled.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, of another kind, or holds code and --allow_unsafe is not given.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file '{path}'.")
    if pathlib.Path(path).suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(f"'{path}' is damaged, or no .keras file; save the model as model.keras.")
    unsafe = flags.FLAGS.allow_unsafe
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=not unsafe)
    except Exception as error:  # Keras raises many kinds for files that are not as it wrote them
        if not unsafe and ("safe_mode" in str(error) or "unsafe" in str(error)):
            raise ValueError(
                f"'{path}' holds Python code, which loading would run. If you trust whoever made "
                "it, add --allow_unsafe."
            ) from error
        raise ValueError(f"'{path}' cannot be loaded: {type(error).__name__}: {error}") from error


def sizes(model):
    """What a model holds and costs, as strings under the titles `SIZES`."""
    found = profile(model)
    macs = "-" if found.macs is None else f"{found.macs:,}"
    return [f"{found.params:,}", f"{found.nonzero_params:,}", macs, f"{found.bytes:,}"]


def record_path(path):
    """Where it is written how the model of a file was pruned."""
    return pathlib.Path(path).with_suffix(".pruning.json")


def output_path(value):
    """The value of --output as a path that can be written, found out before the work.

    Raises:
        ValueError: it does not end in `.keras`, or is a folder.
        OSError: its folder cannot be written.
    """
    path = pathlib.Path(value)
    if path.suffix != ".keras":
        raise ValueError(f"--output must end in .keras, got '{path}'.")
    if path.is_dir():
        raise ValueError(f"--output={path} is a folder; give the path of a file in it.")
    writable_folder(path.parent)
    return path


def write_pruned(model, path, record):
    """Writes a model and beside it how it was pruned.

    Args:
        model: a `keras.Model`.
        path: as `output_path` gives it.
        record: see `keras_cascade.pruning_record`.

    Raises:
        OSError: the folder cannot be written; what was there before, of both, still is.
    """
    with whole_file(path) as model_file, whole_file(record_path(path)) as record_file:
        write_keras(model, model_file)
        write_json(record_file, record)


def read_record(path):
    """How the model of a file was pruned: dict, None where nothing stands beside it."""
    beside = record_path(path)
    if not beside.is_file():
        return None
    try:
        return json.loads(beside.read_text())
    except ValueError as error:
        raise ValueError(f"'{beside}' is damaged: {error}. Delete it to go on without.") from error
