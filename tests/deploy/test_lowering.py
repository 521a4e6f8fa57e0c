"""Lowered models compute the same under the same names, without what runtimes handle badly."""

import keras
import networks
import numpy as np
import pytest
from keras import layers

import keras_cascade as kc
from keras_cascade.deploy.lowering import lowered

STATISTICS = {"mean": [0.5, -1.0, 2.0], "variance": [0.25, 4.0, 0.0]}


def adapted():
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).normal(3.0, 2.0, (20, 4, 4, 3)).astype("float32"))
    return layer


CASES = {
    "reshape": lambda: layers.Reshape((16, 3)),
    "reshape with one size open": lambda: layers.Reshape((-1, 6)),
    "flatten": lambda: layers.Flatten(),
    "flatten, channels first": lambda: layers.Flatten(data_format="channels_first"),
    "normalization": lambda: layers.Normalization(**STATISTICS),
    "normalization, inverted": lambda: layers.Normalization(**STATISTICS, invert=True),
    "normalization in float16": lambda: layers.Normalization(**STATISTICS, dtype="float16"),
    "normalization, adapted": adapted,
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("last", [False, True])
def test_it_computes_the_same(case, last, rng):
    inputs = keras.Input((4, 4, 3), name="image")
    outputs = CASES[case]()(inputs)
    outputs = outputs if last else layers.Dense(2, name="head")(outputs)
    model = keras.Model(inputs, {"answer": outputs})
    low = lowered(model)
    images = rng.normal(0.0, 2.0, (5, 4, 4, 3)).astype("float32")
    expected, found = model(images)["answer"], low(images)["answer"]
    assert keras.backend.standardize_dtype(found.dtype) == (
        keras.backend.standardize_dtype(expected.dtype)
    )
    tolerance = 1e-2 if "float16" in case else 1e-6
    np.testing.assert_allclose(
        *(keras.ops.convert_to_numpy(one) for one in (found, expected)), rtol=tolerance, atol=1e-6
    )
    assert [one.name for one in low.inputs] == ["image"]
    assert low.output_names == model.output_names


def test_weights_are_shared():
    model = networks.small_convnet()
    assert [id(one) for one in lowered(model).weights] == [id(one) for one in model.weights]


@pytest.mark.only_on("tensorflow", reason="ONNX files are written by way of TensorFlow")
def test_onnx_files_ask_for_no_statistics(tmp_path, rng):
    runtime = pytest.importorskip("onnxruntime", reason="ONNX needs the extra onnx")
    pytest.importorskip("tf2onnx", reason="ONNX needs the extra onnx")
    inputs = keras.Input((4, 4, 3), name="image")
    model = keras.Model(inputs, layers.Conv2D(2, 3)(adapted()(inputs)))
    images = rng.normal(0.0, 2.0, (5, 4, 4, 3)).astype("float32")
    kc.export(model, tmp_path / "out", ["onnx"], representative_data=images)
    session = runtime.InferenceSession(tmp_path / "out" / "model.onnx")
    assert [given.name for given in session.get_inputs()] == ["image"]
