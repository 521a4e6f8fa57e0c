"""What a row of a study says of a trained model: accuracy, sizes and, as a LiteRT file, latency."""

import pathlib
import tempfile

from keras_cascade import recipe
from keras_cascade.deploy import measure_latency, write_litert
from keras_cascade.profile import gzipped_bytes, profile

_LATENCY_RUNS = 200


def measure(model, teacher, images, litert, folder):
    """What a trained model is, beside its teacher.

    Args:
        model: `keras.Model`.
        teacher: `Teacher`.
        images: `data.ImageData`.
        litert: whether to measure size and latency as a LiteRT file; else they are None.
        folder: where that file is written for the while.

    Returns:
        Dict of figures, as a row has them.
    """
    sizes = profile(model)
    return {
        "accuracy": recipe.accuracy_on_test(model, images),
        "teacher_accuracy": teacher.figures["accuracy"],
        "params": sizes.params,
        "nonzero_params": sizes.nonzero_params,
        "teacher_params": teacher.figures["params"],
        "macs": sizes.macs,
        "teacher_macs": teacher.figures["macs"],
        "bytes": sizes.bytes,
        **_measure_file(model, teacher, litert, folder),
    }


def measure_levels(levels, images):
    """What each level of a cascade was at its end, before recovery.

    Args:
        levels: dict from name to `keras.Model`.
        images: `data.ImageData`.

    Returns:
        Dict from name to accuracy, params and macs.
    """
    return {
        name: {
            "accuracy": recipe.accuracy_on_test(model, images),
            "params": model.count_params(),
            "macs": profile(model).macs,
        }
        for name, model in levels.items()
    }


def _measure_file(model, teacher, litert, folder):
    zipped, latency, teacher_latency = None, None, None
    if litert:
        with tempfile.TemporaryDirectory(dir=folder, prefix="tmp_") as temporary:
            file = pathlib.Path(temporary, "model.tflite")
            write_litert(model, file)
            zipped = gzipped_bytes(file)
            # In turns with the teacher: their ratio holds on a machine that does other work.
            found = measure_latency({"teacher": teacher.litert, "model": file}, runs=_LATENCY_RUNS)
        latency, teacher_latency = found["model"].median_ms, found["teacher"].median_ms
    return {
        "gzipped_bytes": zipped,
        "teacher_gzipped_bytes": teacher.figures["gzipped_bytes"],
        "latency_ms": latency,
        "teacher_latency_ms": teacher_latency,
    }
