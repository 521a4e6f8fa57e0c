"""Latency and memory of models on their runtimes, measured side by side.

On a machine that does other work too, milliseconds measured minutes apart cannot be compared. Here
all models take turns, so that a slow second falls on all of them: the ratio of two medians holds
where the medians do not. A turn is some untimed runs and a timed one. A model that runs again and
again by itself finds the caches as it left them; after another model it needs some runs to get
there, and timed without them it seems slower than it is, the more so the smaller it is.
"""

import dataclasses
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_cascade.deploy.examples import random_examples
from keras_cascade.deploy.formats import as_inputs
from keras_cascade.deploy.litert import open_interpreter
from keras_cascade.typing import Path

_SETTLING_RUNS = 5
_SETTLING_MS = 50.0  # a model of such runs does not live in the caches

# Run apart from what measures, which holds gigabytes of its own.
_MEMORY = """
import pathlib, resource, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

def peak():
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # what getrusage says on Linux begins with the parent's peak
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes, on macOS

path, threads = sys.argv[1], int(sys.argv[2])
before = peak()
interpreter = Interpreter(model_path=path, num_threads=threads)
interpreter.allocate_tensors()
for source in interpreter.get_input_details():
    interpreter.set_tensor(source["index"], np.zeros(source["shape"], source["dtype"]))
interpreter.invoke()
print(peak() - before)
"""


@dataclasses.dataclass(frozen=True)
class Latency:
    """Milliseconds of one run on one example.

    Attributes:
        median_ms: the median of all timed runs.
        p10_ms, p90_ms: a tenth of the runs took less, and a tenth took more.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float


def measure_latency(
    artefacts: Mapping[str, Path | keras.Model],
    *,
    threads: int = 1,
    runs: int = 100,
    warmup: int = 10,
    progress: Callable[[int], Any] | None = None,
) -> dict[str, Latency]:
    """Times models in turns on one random example (batch 1, fixed seed).

    A turn is a timed run after five untimed ones, or fewer where they take more than 50 ms: how
    long a model takes that runs again and again, at a speed of the machine that all share.

    Args:
        artefacts: dict from name to the path of a `.tflite` file, which LiteRT runs (XNNPACK), or
            a `keras.Model`, which Keras runs as `predict` does, compiled; all of fixed input size.
        threads: how many each LiteRT model may use; Keras takes what its backend takes.
        runs: how many turns of each model count.
        warmup: how many turns of each model come before them.
        progress: function that is told how many rounds are done, of `warmup + runs`; or None.

    Returns:
        Dict from name to `Latency`.

    Raises:
        ImportError: LiteRT is not installed (the extra `litert`).
        TypeError: artefacts is no dict.
        ValueError: nothing to measure, numbers out of range, a file that is no LiteRT model, or a
            model whose input size is open.

    Example:

    ```python
    from keras_cascade.deploy import measure_latency

    found = measure_latency({"teacher": "teacher.tflite", "student": "student.tflite"})
    print(found["student"].median_ms / found["teacher"].median_ms)
    ```
    """
    if not isinstance(artefacts, Mapping):
        raise TypeError(
            "artefacts must be a dict from names to .tflite files or models, got "
            f"{type(artefacts).__name__}: measure_latency({{'student': 'student.tflite'}})."
        )
    if not artefacts:
        raise ValueError("There is nothing to measure: artefacts is empty.")
    if runs < 1 or warmup < 0 or threads < 1:
        raise ValueError(
            "runs and threads must be at least 1 and warmup at least 0, "
            f"not {runs}, {threads} and {warmup}."
        )
    run_once = {name: _ready(artefact, threads) for name, artefact in artefacts.items()}
    times = {name: [] for name in artefacts}
    for done in range(1, warmup + runs + 1):
        for name, run in run_once.items():
            _settle(run)
            begin = time.perf_counter()
            run()
            times[name].append(1000 * (time.perf_counter() - begin))
        if progress is not None:
            progress(done)
    return {name: _latency(series[warmup:]) for name, series in times.items()}


def measure_memory(path: Path, threads: int = 1) -> int:
    """Memory that LiteRT takes to load a model and run it once.

    Args:
        path: of a `.tflite` file of fixed input size.
        threads: how many it may use.

    Returns:
        Bytes: by how much the peak of a fresh process rose, weights and activations together.

    Raises:
        ImportError: LiteRT is not installed (the extra `litert`).
        TypeError: a `keras.Model` in place of a file.
        ValueError: no LiteRT model, or one of open input size.
        RuntimeError: that process failed; its reason.

    Example:

    ```python
    from keras_cascade.deploy import measure_memory

    print(measure_memory("student.tflite") / 2**20, "MiB")
    ```
    """
    if isinstance(path, keras.Model):
        raise TypeError(
            f"The memory of LiteRT is measured, of a .tflite file, not of model '{path.name}': "
            "write one by keras_cascade.deploy.write_litert(model, path)."
        )
    _ready(path, threads)
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(path), str(threads)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        *_, reason = done.stderr.strip().splitlines() or ["no reason was given"]
        raise RuntimeError(
            f"{path} could not be run in a process of its own (status {done.returncode}): "
            f"{reason}. A negative status is a signal, as of a machine that is out of memory."
        )
    return int(done.stdout)


def _settle(run):
    """Runs a model untimed, until the caches are as they are when nothing else runs."""
    begin = time.perf_counter()
    for _ in range(_SETTLING_RUNS):
        run()
        if 1000 * (time.perf_counter() - begin) > _SETTLING_MS:
            break


def _latency(series):
    low, median, high = np.percentile(series, [10, 50, 90])
    return Latency(median_ms=float(median), p10_ms=float(low), p90_ms=float(high))


def _ready(artefact, threads):
    """A function without arguments that runs a model once on inputs that are set."""
    if not isinstance(artefact, keras.Model):
        return _ready_litert(pathlib.Path(artefact), threads)
    arrays = [values[:1] for values in random_examples(artefact)]
    inputs = as_inputs(artefact, arrays)
    return lambda: artefact.predict_on_batch(inputs)


def _ready_litert(path, threads):
    interpreter = open_interpreter(path, threads)
    for source in interpreter.get_input_details():
        if any(size < 0 for size in source["shape_signature"][1:]):
            raise ValueError(
                f"The input of {path} has the open shape {list(source['shape_signature'])}, and "
                "latency depends on its size. Export the model with a fixed input size."
            )
    interpreter.allocate_tensors()
    random = np.random.default_rng(0)
    for source in interpreter.get_input_details():
        # Fractions, which become zeros where a model takes integers: valid for any vocabulary.
        interpreter.set_tensor(
            source["index"], random.random(source["shape"]).astype(source["dtype"])
        )
    return interpreter.invoke
