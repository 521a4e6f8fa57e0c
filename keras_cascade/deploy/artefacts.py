"""Single files of a model, written under a temporary name beside the final one and then renamed."""

import keras

from keras_cascade.deploy import formats
from keras_cascade.deploy.examples import batches_of, named_batches, random_examples
from keras_cascade.deploy.lowering import lowered
from keras_cascade.report import whole_file
from keras_cascade.typing import Path, Quantization


def write_keras(model: keras.Model, path: Path) -> None:
    """Saves a model as a `.keras` file, as a whole.

    Args:
        model: a `keras.Model`.
        path: where to write, ending in `.keras`.

    Raises:
        OSError: the folder cannot be written; what was there before is still there.
    """
    with whole_file(path) as temporary:
        model.save(temporary)


def write_litert(
    model: keras.Model, path: Path, quantize: Quantization | None = None, keep_batch: bool = False
) -> None:
    """Writes a model as a LiteRT file alone, to be measured; `export` compares it besides.

    Args:
        model: a built functional `keras.Model`.
        path: where to write, ending in `.tflite`.
        quantize: None, "float16", "dynamic" or "int8", whose ranges are found on random numbers:
            its speed is right, its outputs are not.
        keep_batch: whether the file takes as many rows as inputs have fixed; else one.

    Raises:
        OSError: the folder cannot be written.
        ExportError: Keras runs on PyTorch, where its SavedModels fail; or the model is none for
            LiteRT.
        ValueError: an unknown quantization.
    """
    formats.check_backend()
    formats.check_litert(model, quantize)
    model = lowered(model)
    calibration = ()
    if quantize == "int8":
        batches = batches_of(model, random_examples(model, count=2))
        calibration = named_batches(model, batches)
    with whole_file(path) as temporary:
        saved_model = temporary.with_name("saved_model")
        formats.write_saved_model(model, saved_model, keep_batch)
        formats.write_litert_of(saved_model, temporary, quantize, calibration)
