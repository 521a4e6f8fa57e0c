"""gradient_shares: what a step of plain gradient descent does to each level's loss."""

import keras
import networks
import numpy as np
import pytest
from keras import ops

import keras_cascade as kc
from keras_cascade.cascade import gradient_shares


def cascade_of(normalised, **options):
    cascade = kc.CascadeDistiller(
        networks.small_convnet(normalised=normalised), (0.3, 0.6), min_channels=1, **options
    )
    cascade.update_masks()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    cascade.compile(keras.optimizers.SGD(1e-3), loss)
    return cascade, networks.examples_for(networks.small_convnet(), 16)


def losses_of(cascade, x, y):
    found = cascade.member_losses(ops.convert_to_tensor(y), cascade(x, training=False))
    return {name: float(ops.convert_to_numpy(value)) for name, value in found.items()}


def test_shares_are_those_of_the_fall_of_each_loss():
    """To first order a step along the whole gradient lowers each loss by its share."""
    # With alpha = 0 no loss depends on another level's output, which has no gradient.
    cascade, (x, y) = cascade_of(normalised=False, alpha=0.0, level_weights=(1.0, 2.0, 0.5))
    shares = gradient_shares(cascade, x, y)
    before = losses_of(cascade, x, y)
    cascade.train_on_batch(x, y)
    after = losses_of(cascade, x, y)
    falls = {name: before[name] - after[name] for name in before}
    assert sum(falls.values()) > 0
    for name, share in shares.items():
        assert share == pytest.approx(falls[name] / sum(falls.values()), abs=0.01)
    assert len(set(np.round(list(shares.values()), 3))) == 3


def test_nothing_of_the_cascade_changes():
    cascade, (x, y) = cascade_of(normalised=True)
    before = [ops.convert_to_numpy(weight) for weight in cascade.weights]
    shares = gradient_shares(cascade, x, y)
    assert list(shares) == cascade.level_names
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-5)
    for old, new in zip(before, cascade.weights, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(new))


def test_a_teacher_without_weight_has_no_share():
    cascade, (x, y) = cascade_of(normalised=True, level_weights=(0.0, 1.0, 1.0))
    shares = gradient_shares(cascade, x, y)
    assert shares["teacher"] == 0.0
    assert shares["ta1"] + shares["student"] == pytest.approx(1.0, abs=1e-5)
