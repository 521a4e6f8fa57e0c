"""Pruned models of `keras.applications` are exported, and give what they gave."""

import keras
import networks
import numpy as np
import pytest
from zoo import checking
from zoo.test_families import FAMILIES

import keras_cascade as kc

pytestmark = [
    pytest.mark.slow,
    pytest.mark.only_on("tensorflow", reason="export converts by way of TensorFlow"),
]
pytest.importorskip("ai_edge_litert", reason="running .tflite needs ai-edge-litert")
pytest.importorskip("tf2onnx", reason="ONNX needs the extra onnx")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_pruned_family_is_exported(name, tmp_path, rng):
    model = checking.build(name)
    small = kc.prune(model, 0.3)
    images = checking._images(model, rng)
    networks.enliven(small, images, momentum=0.02)
    outputs = keras.ops.convert_to_numpy(small(images, training=False))
    assert np.ptp(outputs, axis=0).max() > 1e-3 * np.abs(outputs).max()  # depends on the image
    # Rounding grows from layer to layer of random weights: eager and traced differ by 3e-5 already.
    manifest = kc.export(small, tmp_path / "out", representative_data=images, tolerance=1e-3)
    assert set(manifest["parity"]) == {"saved_model", "litert", "onnx"}
    assert manifest["params"] < model.count_params()
