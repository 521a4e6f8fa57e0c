"""Artefacts are whole, load in their own runtimes, and equal the model."""

import keras
import networks
import numpy as np
import pytest

import keras_cascade as kc
from keras_cascade.deploy import largest_differences, write_artefacts, write_litert

WRITES = pytest.mark.only_on("tensorflow", "jax", reason="Keras on PyTorch writes no SavedModel")


@pytest.mark.only_on("torch", reason="the others write SavedModels")
def test_only_the_keras_file_is_written(tmp_path):
    model = networks.small_convnet()
    paths = write_artefacts(model, tmp_path)
    assert set(paths) == {"keras"}
    images, _ = networks.examples_for(model, 5)
    assert largest_differences(model, paths, images) == {"keras": 0.0}
    with pytest.raises(RuntimeError, match="while Keras runs on PyTorch.*KERAS_BACKEND"):
        write_litert(model, tmp_path / "student.tflite")
    assert list(tmp_path.iterdir()) == [paths["keras"]]


@WRITES
def test_artefacts_of_a_pruned_model(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="running .tflite needs ai-edge-litert")
    model = kc.prune(networks.small_convnet(), 0.5, min_channels=2)
    images, _ = networks.examples_for(model, 5)
    for _ in range(2):  # the second time over what is there
        paths = write_artefacts(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "student.keras",
        "student.tflite",
        "student_saved_model",
    ]
    differences = largest_differences(model, paths, images)
    assert set(differences) == {"keras", "saved_model", "tflite"}
    assert max(differences.values()) < 1e-5
    assert differences["keras"] == 0.0


@WRITES
def test_differences_see_another_model(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="running .tflite needs ai-edge-litert")
    model = networks.small_convnet()
    paths = write_artefacts(model, tmp_path)
    model.get_layer("logits").bias.assign_add(np.full(4, 0.5))
    images, _ = networks.examples_for(model, 3)
    for difference in largest_differences(model, paths, images).values():
        assert difference == pytest.approx(0.5, abs=1e-4)


@WRITES
def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    model = networks.small_convnet()
    write_artefacts(model, tmp_path)
    before = (tmp_path / "student.keras").read_bytes()

    def fails(self, path, **kwargs):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(keras.Model, "save", fails)
    with pytest.raises(OSError, match="no space left"):
        write_artefacts(model, tmp_path)
    assert (tmp_path / "student.keras").read_bytes() == before
