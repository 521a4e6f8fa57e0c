"""What prune_weights trains with."""

import keras
import networks
import numpy as np
import pytest
from keras import layers

import keras_cascade as kc


def test_the_default_loss_knows_a_softmax_in_a_nested_model():
    from keras_cascade.sparsity import training

    inner = keras.Sequential([keras.Input((8, 8, 2)), networks.small_convnet(), layers.Softmax()])
    nested = keras.Sequential([keras.Input((8, 8, 2)), inner])
    assert not training.default_loss(nested).from_logits
    assert training.default_loss(networks.small_convnet()).from_logits


def test_a_teacher_of_classes_along_another_axis_is_refused():
    from keras_cascade.sparsity import training

    model = keras.Sequential([keras.Input((8, 2)), layers.Dense(3), layers.Permute((2, 1))])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, axis=1)
    with pytest.raises(ValueError, match="along axis -2.*Put the classes last"):
        training.check_teacher(model, model, loss, temperature=2.0, alpha=0.5)


@pytest.mark.parametrize("kept", [False, True])
def test_frozen_layers_lose_their_smallest_weights_and_no_others_change(kept):
    model = networks.small_convnet()
    model.get_layer("inner").trainable = False
    before = model.get_layer("inner").get_weights()
    keep = ("inner",) if kept else ()
    data = networks.examples_for(model, 24)
    sparse = kc.prune_weights(model, 0.75, data=data, batch_size=8, keep=keep, verbose=0)
    assert not sparse.get_layer("inner").trainable
    kernel, bias = sparse.get_layer("inner").get_weights()
    assert np.mean(kernel == 0.0) == (0.0 if kept else 0.75)
    np.testing.assert_array_equal(kernel[kernel != 0.0], before[0][kernel != 0.0])
    np.testing.assert_array_equal(bias, before[1])
    if not kept:
        assert np.abs(before[0][kernel == 0.0]).max() <= np.abs(kernel[kernel != 0.0]).min()
