"""Single files are whole: a write that fails leaves what was there."""

import keras
import networks
import numpy as np
import pytest

from keras_cascade.deploy import write_keras, write_litert


@pytest.mark.only_on("torch", reason="the others write LiteRT files")
def test_no_litert_file_on_pytorch(tmp_path):
    with pytest.raises(RuntimeError, match="while Keras runs on PyTorch.*KERAS_BACKEND"):
        write_litert(networks.small_convnet(), tmp_path / "student.tflite")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    model, path = networks.small_convnet(), tmp_path / "student.keras"
    write_keras(model, path)

    def fails(self, path, **kwargs):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError("no space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
        patch.setattr(keras.Model, "save", fails)
        write_keras(model, path)
    assert list(tmp_path.iterdir()) == [path]
    for saved, weight in zip(
        keras.saving.load_model(path).get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(saved, weight)
