"""The same weights and data give the same losses, saliency and masks on every backend."""

import importlib.util

import keras
import networks
import numpy as np
import pytest
from chaos.differences import outcome

pytestmark = [
    pytest.mark.only_on("tensorflow", reason="it starts every backend itself"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    results = outcome(tmp_path_factory.mktemp("results") / "tensorflow", "tensorflow", 1)
    masks = results["masks"]
    assert (masks[1:] != masks[:-1]).any(axis=1).sum() >= 5  # else equal masks say little
    return results


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backend_gives_what_tensorflow_gives(backend, expected, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed (make test-backends installs it)")
    found = outcome(tmp_path / backend, backend, 1)
    assert set(found) == set(expected)
    np.testing.assert_array_equal(found.pop("masks"), expected["masks"])
    for name, values in found.items():
        # A divergence near 0 is the difference of logarithms that float32 rounds, times T^2.
        atol = 5e-6 if name.endswith("_kl") else 1e-4 * np.abs(expected[name]).max()
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=atol, err_msg=name)
    # The file is one that any backend loads.
    loaded = keras.models.load_model(tmp_path / backend / "cascade.keras")
    x, _ = networks.examples_for(networks.small_convnet(), len(found["outputs"]))
    np.testing.assert_allclose(loaded.predict(x, verbose=0), found["outputs"], rtol=1e-4, atol=1e-5)
