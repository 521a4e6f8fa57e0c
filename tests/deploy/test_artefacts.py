"""Single files are whole: a write that fails leaves what was there."""

import keras
import networks
import numpy as np
import pytest

from keras_cascade.deploy import (
    ExportError,
    formats,
    open_interpreter,
    write_keras,
    write_litert,
)


@pytest.mark.only_on("torch", reason="the others write LiteRT files")
def test_no_litert_file_on_pytorch(tmp_path):
    with pytest.raises(ExportError, match="while Keras runs on PyTorch.*KERAS_BACKEND"):
        write_litert(networks.small_convnet(), tmp_path / "student.tflite")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    model, path = networks.small_convnet(), tmp_path / "student.keras"
    write_keras(model, path)
    path.with_name("tmp_student.keras").write_text("another's")

    def fails(self, path, **kwargs):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError("no space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
        patch.setattr(keras.Model, "save", fails)
        write_keras(model, path)
    assert {each.name for each in tmp_path.iterdir()} == {path.name, "tmp_student.keras"}
    assert path.with_name("tmp_student.keras").read_text() == "another's"
    for saved, weight in zip(
        keras.saving.load_model(path).get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(saved, weight)


@pytest.mark.only_on("tensorflow", reason="what JAX exports computes shapes all the same")
def test_xnnpack_takes_a_model_that_reshapes_whole(tmp_path):
    """Behind a shape that is computed nothing would be; and batches stay as free as they were."""
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    gates = keras.layers.Reshape((1, 1, 8))(keras.layers.GlobalAveragePooling2D()(x))
    x = keras.layers.Multiply()([x, keras.layers.Conv2D(8, 1, activation="sigmoid")(gates)])
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    write_litert(model, tmp_path / "model.tflite")
    interpreter = open_interpreter(tmp_path / "model.tflite")
    interpreter.allocate_tensors()
    names = [operation["op_name"] for operation in interpreter._get_ops_details()]
    assert names.count("DELEGATE") == 1 and "SHAPE" not in names
    images = np.random.default_rng(0).standard_normal((5, 4, 4, 3)).astype("float32")
    (found,) = formats.open_litert(tmp_path / "model.tflite", model)([images])
    np.testing.assert_allclose(found, model(images), atol=1e-5)
