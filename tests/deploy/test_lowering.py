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


@pytest.mark.parametrize(
    ("rank", "groups", "filters", "settings"),
    [
        (2, 6, 12, {"strides": 2, "padding": "same", "activation": "relu"}),
        (2, 6, 6, {"dilation_rate": 2, "use_bias": False}),
        (2, 3, 12, {"padding": "same"}),
        (1, 6, 18, {"activation": "gelu"}),
        (1, 2, 4, {"strides": 2}),
    ],
)
def test_grouped_convolutions_come_apart(rank, groups, filters, settings, rng):
    inputs = keras.Input((9,) * rank + (6,))
    layer = getattr(layers, f"Conv{rank}D")(filters, 3, groups=groups, **settings)
    model = networks.unsettled(keras.Model(inputs, layer(inputs)))
    apart = lowered(model, ungrouped=True)
    values = rng.normal(size=(4, *(9,) * rank, 6)).astype("float32")
    pair = (keras.ops.convert_to_numpy(one(values)) for one in (apart, model))
    np.testing.assert_allclose(*pair, atol=1e-5)
    kept = [type(one) for one in lowered(model).layers]
    assert type(layer) in kept and type(layer) not in [type(one) for one in apart.layers]


def test_weights_are_shared():
    model = networks.small_convnet()
    assert [id(one) for one in lowered(model).weights] == [id(one) for one in model.weights]


@pytest.mark.only_on("tensorflow", reason="ONNX files are written by way of TensorFlow")
def test_onnx_files_hold_statistics_grouped_convolutions_and_gelu(tmp_path, rng):
    runtime = pytest.importorskip("onnxruntime", reason="ONNX needs the extra onnx")
    pytest.importorskip("tf2onnx", reason="ONNX needs the extra onnx")
    inputs = keras.Input((4, 4, 3), name="image")
    x = layers.Conv2D(6, 3, groups=3, activation="gelu")(adapted()(inputs))
    model = keras.Model(inputs, layers.Conv2D(2, 1)(x))
    images = rng.normal(0.0, 2.0, (5, 4, 4, 3)).astype("float32")
    kc.export(model, tmp_path / "out", ["onnx"], representative_data=images)
    session = runtime.InferenceSession(tmp_path / "out" / "model.onnx")
    assert [given.name for given in session.get_inputs()] == ["image"]
