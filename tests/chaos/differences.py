"""How far a training on replicas, or on another backend, ends from one device on TensorFlow."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np

TESTS = pathlib.Path(__file__).parents[1]
PROGRAM = TESTS / "cascade" / "small_run.py"
RUNS = {
    "2 replicas": ("tensorflow", 2),
    "4 replicas": ("tensorflow", 4),
    "JAX": ("jax", 1),
    "PyTorch": ("torch", 1),
}
# What is compared, and the beginning of its names among the results of the program. Of the logs
# those of epochs: within an epoch Keras shows the first replica's.
COMPARED = {"logs": "epochs", "saliencies": "saliency", "masks": "masks", "outputs": "outputs"}


def measured(folder, say):
    """Trains on each of `RUNS`.

    Args:
        folder: where their results are put.
        say: called with a line before each.

    Returns:
        Dict with `steps`, `compared`, `left_out` (a sentence) and `rows`: for each run, for each of
        `compared`, the largest difference over the largest magnitude.
    """
    expected = outcome(folder / "one_device", "tensorflow", 1)
    rows, absent = {}, []
    for name, (backend, replicas) in RUNS.items():
        if importlib.util.find_spec(backend) is None:
            absent.append(name)
            continue
        say(f"training: {name} ...")
        found = outcome(folder / name.replace(" ", "_"), backend, replicas)
        rows[name] = {
            what: max(
                _difference(found[key], values)
                for key, values in expected.items()
                if key.startswith(prefix) and not key.endswith("_kl")
            )
            for what, prefix in COMPARED.items()
        }
    return {
        "steps": len(expected["masks"]),
        "compared": list(COMPARED),
        "left_out": f"Not installed, so left out: {', '.join(absent)}." if absent else "",
        "rows": rows,
    }


def outcome(folder, backend, replicas):
    """What `small_run.py` writes: dict from name to array."""
    folder.mkdir()
    paths = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join(paths),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # XLA's take longer than the few steps here
    }
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder), str(replicas)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{backend} with {replicas} replicas failed:\n{done.stderr}")
    with np.load(folder / "results.npz") as file:
        return dict(file)


def _difference(found, expected):
    if found.shape != expected.shape:
        return 1.0
    found, expected = found.astype(float), expected.astype(float)
    return float(np.abs(found - expected).max() / np.abs(expected).max())
