"""Models of `keras.applications` cross the bridge and come back."""

import keras
import networks
import numpy as np
import pytest
from zoo import checking
from zoo.test_families import FAMILIES

import keras_cascade as kc
from keras_cascade.graph.tracing import trace

# tf_keras holds the constants of a Normalization, and Keras 3 those of gelu, in float32 whatever
# the layer's dtype; VGG has nothing that rounding grows in, and float32 is faster.
IN_FLOAT32 = {"VGG16", "EfficientNetV2B0", "ConvNeXtTiny"}


@pytest.fixture
def floatx(name):
    before = keras.config.floatx()
    keras.backend.clear_session()  # else a policy that was asked for before stays
    keras.config.set_floatx("float32" if name in IN_FLOAT32 else "float64")
    yield keras.config.floatx()
    keras.config.set_floatx(before)


@pytest.mark.parametrize("name", FAMILIES)
def test_family_has_an_equal_twin(name, floatx, rng):
    """In float64 the deep ones too, where rounding grows from layer to layer, agree exactly."""
    model = checking.build(name)
    images = checking._images(model, rng)
    networks.enliven(model, images, 0.5 if floatx == "float32" else 0.02)
    twin = kc.to_tf_keras(model)
    back = kc.from_tf_keras(twin, verify=False)
    expected = _outputs(model, images)
    scale = max(1.0, np.abs(expected).max())
    assert np.ptp(expected, axis=0).max() > 1e-3 * np.abs(expected).max()  # depends on the image
    tolerance = 1e-6 if floatx == "float32" else 1e-12
    for other in (twin, back):
        assert np.abs(_outputs(other, images) - expected).max() <= tolerance * scale
    assert list(trace(back).layers) == list(trace(model).layers)


def _outputs(model, images):
    return np.asarray(keras.ops.convert_to_numpy(model(images, training=False)))
