"""What prune_weights trains with."""

import keras
import networks
from keras import layers


def test_the_default_loss_knows_a_softmax_in_a_nested_model():
    from keras_cascade.sparsity import training

    inner = keras.Sequential([keras.Input((8, 8, 2)), networks.small_convnet(), layers.Softmax()])
    nested = keras.Sequential([keras.Input((8, 8, 2)), inner])
    assert not training.default_loss(nested).from_logits
    assert training.default_loss(networks.small_convnet()).from_logits
