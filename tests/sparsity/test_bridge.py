"""The bridge: a model and its twin in the other library compute the same, or there is none."""

import keras
import networks
import numpy as np
import pytest
import rule_cases
import tensorflow as tf
import tf_keras
from keras import layers, ops

import keras_cascade as kc
from keras_cascade.sparsity import activations, twins

# Of the models that the channel rules are tested on, one for each kind of layer.
CROSSING = [
    "attention_norm_first", "average_pool", "batch_normalization", "bidirectional", "conv1d",
]  # fmt: skip


def _outputs(model, x):
    return np.asarray(keras.ops.convert_to_numpy(model(x, training=False)))


@pytest.mark.parametrize("name", networks.ARCHITECTURES)
def test_twin_gives_the_same_output(name, rng):
    model = networks.build(name)
    x = rng.standard_normal((2, *model.input_shape[1:])).astype("float32")
    expected, got = _outputs(model, x), _outputs(kc.to_tf_keras(model), x)
    assert np.abs(expected - got).max() <= 1e-6 * np.abs(expected).max()
