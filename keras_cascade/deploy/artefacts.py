"""Single files of a model, written under a temporary name beside the final one and then renamed."""

import pathlib
import tempfile

import keras

from keras_cascade.deploy import formats
from keras_cascade.deploy.lowering import lowered
from keras_cascade.typing import Path, Quantization


def write_keras(model: keras.Model, path: Path) -> None:
    """Saves a model as a `.keras` file, as a whole.

    Args:
        model: a `keras.Model`.
        path: where to write, ending in `.keras`.

    Raises:
        OSError: the folder cannot be written; what was there before is still there.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f"tmp_{path.name}")  # Keras asks for the ending
    try:
        model.save(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_litert(model: keras.Model, path: Path, quantize: Quantization | None = None) -> None:
    """Writes a model as a LiteRT file alone, to be measured; `export` compares it besides.

    Args:
        model: a built functional `keras.Model`.
        path: where to write, ending in `.tflite`.
        quantize: None, "float16", "dynamic" or "int8", whose ranges are found on random numbers:
            its speed is right, its outputs are not.

    Raises:
        OSError: the folder cannot be written.
        RuntimeError: Keras runs on PyTorch, where its SavedModels fail.
    """
    formats.check_backend()
    path, model = pathlib.Path(path), lowered(model)
    calibration = ()
    if quantize == "int8":
        batches = formats.batches_of(model, formats.random_examples(model, count=2))
        calibration = formats.named_batches(model, batches)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="tmp_") as folder:
        saved_model, temporary = pathlib.Path(folder, "saved_model"), pathlib.Path(folder, "tflite")
        formats.write_saved_model(model, saved_model)
        formats.write_litert_of(saved_model, temporary, quantize, calibration)
        temporary.replace(path)
