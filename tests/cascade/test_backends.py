"""The same weights and data give the same losses, saliency and masks on every backend."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import networks
import numpy as np
import pytest

TESTS = pathlib.Path(__file__).parents[1]
pytestmark = pytest.mark.only_on("tensorflow", reason="it starts every backend itself")


def results_on(backend, folder):
    """What small_run.py gives in a process of its own: dict from name to array."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join([path, os.environ.get("PYTHONPATH", "")]),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # XLA's take longer than the few steps here
    }
    result = subprocess.run(
        [sys.executable, str(TESTS / "cascade" / "small_run.py"), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stderr
    with np.load(folder / "results.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    results = results_on("tensorflow", tmp_path_factory.mktemp("tensorflow"))
    masks = results["masks"]
    assert (masks[1:] != masks[:-1]).any(axis=1).sum() >= 5  # else equal masks say little
    return results


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backend_gives_what_tensorflow_gives(backend, expected, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed (make test-backends installs it)")
    found = results_on(backend, tmp_path)
    assert set(found) == set(expected)
    np.testing.assert_array_equal(found.pop("masks"), expected["masks"])
    for name, values in found.items():
        # A divergence near 0 is the difference of logarithms that float32 rounds, times T^2.
        atol = 5e-6 if name.endswith("_kl") else 1e-4 * np.abs(expected[name]).max()
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=atol, err_msg=name)
    # The file is one that any backend loads.
    loaded = keras.models.load_model(tmp_path / "cascade.keras")
    x, _ = networks.examples_for(loaded, len(found["outputs"]))
    np.testing.assert_allclose(loaded.predict(x, verbose=0), found["outputs"], rtol=1e-4, atol=1e-5)
