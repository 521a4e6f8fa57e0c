"""`widest_model` finds the thin network that a budget of parameters allows."""

import numpy as np
import pytest

from keras_cascade.models import build_model, densenet40, widest_model

DIGITS = (8, 8, 1)


def params_at(name, width):
    return build_model(name, DIGITS, 10, width=width).count_params()


@pytest.mark.slow
def test_budget_of_a_network_is_spent_to_the_last_parameter():
    budget = params_at("vgg16", 0.11)
    model = widest_model("vgg16", DIGITS, 10, budget)
    assert model.count_params() == budget
    assert (model.name, model.output_shape) == ("vgg16", (None, 10))
    next_smaller = widest_model("vgg16", DIGITS, 10, budget - 1).count_params()
    assert params_at("vgg16", 0.10) < next_smaller < budget


@pytest.mark.slow
def test_coarse_families_stay_below():
    five, six = (densenet40(DIGITS, width=growth / 12).count_params() for growth in (5, 6))
    assert widest_model("densenet40", DIGITS, 10, six - 1).count_params() == five


def test_no_wider_than_the_published_network():
    whole = params_at("resnet20", 1.0)
    assert widest_model("ResNet20", DIGITS, 10, 10 * whole).count_params() == whole


@pytest.mark.slow
def test_seed_and_weight_decay_reach_the_network():
    first, again = (
        widest_model("resnet20", DIGITS, 10, 10_000, weight_decay=0.01, seed=4) for _ in range(2)
    )
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.losses


@pytest.mark.slow
def test_budget_below_the_thinnest_network_is_refused():
    thinnest = params_at("resnet20", 1e-6)
    assert widest_model("resnet20", DIGITS, 10, thinnest).count_params() == thinnest
    with pytest.raises(ValueError, match=f"thinnest resnet20 .* has {thinnest:,} parameters"):
        widest_model("resnet20", DIGITS, 10, thinnest - 1)


@pytest.mark.parametrize("name", ["MobileNet", "resnet21"])
def test_only_our_networks_scale(name):
    with pytest.raises(ValueError, match="one of vgg16, .*efficientnet_b0. Received: name="):
        widest_model(name, DIGITS, 10, 10_000)
