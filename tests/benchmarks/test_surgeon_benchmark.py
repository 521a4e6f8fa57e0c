"""The contestants of benchmarks/surgeon.py do what the table says they do."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from networks import small_convnet

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "surgeon.py"


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("benchmark_of_the_surgeon", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_ours_prunes_and_rebuild_copies(script):
    model = small_convnet()
    images = np.ones((1, *model.input_shape[1:]), "float32")
    small, seconds = script._prune(model, 0.5, "channels", "layer")
    assert small.count_params() < model.count_params()
    parts = [seconds[part] for part in ("trace", "rank", "extract")]
    assert sum(parts) == pytest.approx(seconds["ours"]) and min(parts) > 0

    copied, _ = script._rebuild(model)
    assert copied is not model
    np.testing.assert_array_equal(copied(images, training=False), model(images, training=False))


def test_bytes_of_weights(script):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype="float16")])
    model.add(keras.layers.Dense(4))
    assert script._bytes(model) == 2 * (3 * 2 + 2) + 4 * (2 * 4 + 4)
