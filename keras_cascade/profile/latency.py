"""Latency of LiteRT files, measured side by side.

On a machine that does other work too, milliseconds measured minutes apart cannot be compared. Here
all models take turns, one run each, so that a slow second falls on all of them: the ratio of two
medians holds where the medians do not.
"""

import statistics
import time

import numpy as np

from keras_cascade.deploy.litert import open_interpreter


def measure_latency(paths, *, threads=1, runs=100, warmup=10):
    """Times the models in turns, A B A B, on one random example (batch 1, fixed seed).

    Args:
        paths: dict from name to the path of a `.tflite` file whose input size is fixed.
        threads: how many each model may use.
        runs: how many timed runs of each model.
        warmup: how many runs of each model before them.

    Returns:
        Dict from name to the median in milliseconds.

    Raises:
        ImportError: LiteRT is not installed (the extra `litert`).
        ValueError: no paths, numbers out of range, a file that is no LiteRT model, or a model
            whose input size is open.

    Example:

    ```python
    from keras_cascade.profile import measure_latency

    medians = measure_latency({"teacher": "teacher.tflite", "student": "student.tflite"})
    print(medians["student"] / medians["teacher"])
    ```
    """
    if not paths:
        raise ValueError("There is nothing to measure: paths is empty.")
    if runs < 1 or warmup < 0 or threads < 1:
        raise ValueError(
            "runs and threads must be at least 1 and warmup at least 0, "
            f"not {runs}, {threads} and {warmup}."
        )
    interpreters = {name: _ready(path, threads) for name, path in paths.items()}
    times = {name: [] for name in paths}
    for _ in range(warmup + runs):
        for name, interpreter in interpreters.items():
            begin = time.perf_counter()
            interpreter.invoke()
            times[name].append(1000 * (time.perf_counter() - begin))
    return {name: statistics.median(series[warmup:]) for name, series in times.items()}


def _ready(path, threads):
    """An interpreter whose inputs are set; `invoke` is all that is left to do."""
    interpreter = open_interpreter(path, threads)
    interpreter.allocate_tensors()
    random = np.random.default_rng(0)
    for source in interpreter.get_input_details():
        if any(size < 0 for size in source["shape_signature"][1:]):
            raise ValueError(
                f"The input of {path} has the open shape {list(source['shape_signature'])}, and "
                "latency depends on its size. Export the model with a fixed input size."
            )
        # Fractions, which become zeros where a model takes integers: valid for any vocabulary.
        interpreter.set_tensor(
            source["index"], random.random(source["shape"]).astype(source["dtype"])
        )
    return interpreter
