"""The bridge: a model and its twin in the other library compute the same."""

import keras
import networks
import numpy as np
import pytest

import keras_cascade as kc


def _outputs(model, x):
    return np.asarray(keras.ops.convert_to_numpy(model(x, training=False)))


@pytest.mark.parametrize("name", networks.ARCHITECTURES)
def test_twin_gives_the_same_output(name, rng):
    model = networks.build(name)
    x = rng.standard_normal((2, *model.input_shape[1:])).astype("float32")
    expected, got = _outputs(model, x), _outputs(kc.to_tf_keras(model), x)
    assert np.abs(expected - got).max() <= 1e-6 * np.abs(expected).max()
