"""How far a training on replicas, or on another backend, ends from one device on TensorFlow."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
from chaos import trained

PROGRAM = pathlib.Path(trained.__file__)
RUNS = {
    "2 replicas": ("tensorflow", 2),
    "4 replicas": ("tensorflow", 4),
    "JAX": ("jax", 1),
    "PyTorch": ("torch", 1),
}
COMPARED = ("losses", "saliencies", "masks", "weights")


def measured(folder, say):
    """Trains on each of `RUNS`.

    Args:
        folder: where their results are put.
        say: called with a line before each.

    Returns:
        Dict with `steps`, `compared`, `left_out` (a sentence) and `rows`: for each run, for each of
        `compared`, the largest difference over the largest magnitude.
    """
    expected = outcome(folder / "one_device.npz", "tensorflow", 1)
    rows, absent = {}, []
    for name, (backend, replicas) in RUNS.items():
        if importlib.util.find_spec(backend) is None:
            absent.append(name)
            continue
        say(f"training: {name} ...")
        found = outcome(folder / f"{name.replace(' ', '_')}.npz", backend, replicas)
        rows[name] = {key: _difference(found[key], expected[key]) for key in COMPARED}
    return {
        "steps": trained.EPOCHS * -(-trained.EXAMPLES // trained.BATCH),
        "compared": list(COMPARED),
        "left_out": f"Not installed, so left out: {', '.join(absent)}." if absent else "",
        "rows": rows,
    }


def outcome(path, backend, replicas):
    """What `trained.py` writes: dict from name to array."""
    subprocess.run(
        [sys.executable, str(PROGRAM), str(path), str(replicas)],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
    )
    with np.load(path) as file:
        return dict(file)


def _difference(found, expected):
    if found.shape != expected.shape:
        return 1.0  # other masks, and so other shapes
    return float(np.abs(found - expected).max() / np.abs(expected).max())
