"""What prune_weights trains with."""

import keras
import networks
import pytest
from keras import layers


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
