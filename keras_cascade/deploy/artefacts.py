"""Artefacts of a model: `.keras`, SavedModel and LiteRT files, and how far each strays.

Each artefact is written under a temporary name in the same folder and then renamed, so that a
name that is there is whole. TensorFlow and LiteRT are imported when they are needed.
"""

import pathlib
import shutil
import tempfile

import keras
import numpy as np
from keras import ops

from keras_cascade.deploy.litert import open_interpreter


def write_artefacts(model, output_dir, name="student"):
    """Writes a model as `.keras`, SavedModel and LiteRT; on PyTorch as `.keras` alone.

    That file is loaded, and exported further, on any backend.

    Args:
        model: a built functional `keras.Model`.
        output_dir: an existing folder.
        name: file name without ending.

    Returns:
        Dict from format ("keras", "saved_model", "tflite") to `pathlib.Path`.

    Raises:
        OSError: the folder cannot be written.

    Example:

    ```python
    paths = write_artefacts(student, "out")
    print(largest_differences(student, paths, images))
    ```
    """
    output_dir = pathlib.Path(output_dir)
    paths = {
        "keras": output_dir / f"{name}.keras",
        "saved_model": output_dir / f"{name}_saved_model",
        "tflite": output_dir / f"{name}.tflite",
    }
    writers = {"keras": _write_keras, "saved_model": _write_saved_model, "tflite": _write_tflite}
    if not _exports():
        paths = {"keras": paths["keras"]}
    for kind, path in paths.items():
        temporary = path.with_name(f"tmp_{path.name}")
        _remove(temporary)
        writers[kind](model, temporary, paths)
        _remove(path)
        temporary.rename(path)
    return paths


def write_litert(model, path):
    """Writes a model as a LiteRT file alone.

    Args:
        model: a built functional `keras.Model`.
        path: where to write, ending in `.tflite`.

    Raises:
        OSError: the folder cannot be written.
        RuntimeError: Keras runs on PyTorch, where its SavedModels fail.
    """
    if not _exports():
        raise RuntimeError(
            "No SavedModel, and so no LiteRT file, is written while Keras runs on PyTorch. Save "
            "the model with model.save('model.keras'), then load and export that with "
            "KERAS_BACKEND=tensorflow."
        )
    path = pathlib.Path(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="tmp_") as folder:
        saved_model, temporary = pathlib.Path(folder, "saved_model"), pathlib.Path(folder, "tflite")
        _write_saved_model(model, saved_model, None)
        temporary.write_bytes(_as_litert(saved_model))
        temporary.replace(path)


def largest_differences(model, paths, examples):
    """Loads each artefact in its own runtime and compares it with the model.

    Args:
        model: the `keras.Model` the artefacts were written from.
        paths: what `write_artefacts` returned.
        examples: array of inputs, shape `(n, ...)`; the model has one input.

    Returns:
        Dict from format to the largest absolute difference of any output.
    """
    examples = np.asarray(examples, model.inputs[0].dtype)
    expected = ops.convert_to_numpy(model(examples, training=False))
    runners = {"keras": _run_keras, "saved_model": _run_saved_model, "tflite": _run_tflite}
    return {
        kind: float(np.max(np.abs(runners[kind](path, examples) - expected)))
        for kind, path in paths.items()
    }


def _exports():
    """Whether Keras writes SavedModels; on PyTorch it fails (3.15.1 with PyTorch 2.13)."""
    return keras.backend.backend() != "torch"


def _write_keras(model, path, _):
    model.save(path)


def _write_saved_model(model, path, _):
    model.export(path, format="tf_saved_model", verbose=False)


def _write_tflite(_, path, paths):
    path.write_bytes(_as_litert(paths["saved_model"]))


def _as_litert(saved_model):
    # By way of a SavedModel: Keras' own LiteRT export came only after Keras 3.12.
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_saved_model(str(saved_model)).convert()


def _run_keras(path, examples):
    return ops.convert_to_numpy(keras.models.load_model(path)(examples, training=False))


def _run_saved_model(path, examples):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # its function does not keep its variables alive
    return loaded.serve(examples).numpy()


def _run_tflite(path, examples):
    interpreter = open_interpreter(path)
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(source["index"], examples.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], examples)
    interpreter.invoke()
    return interpreter.get_tensor(target["index"])


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
