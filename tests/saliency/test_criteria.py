"""Criteria: each score is what its paper's formula gives, written out."""

import keras
import networks
import numpy as np
import pytest
from keras import layers

import keras_cascade as kc
from keras_cascade.saliency.criteria import bn_scale, fpgm, group_shares, l1, l2, random


def test_l1_is_the_sum_of_absolute_weights():
    model = networks.small_convnet()
    graph = kc.ChannelGraph(model)
    kernels = {name: model.get_layer(name).kernel.numpy() for name in ("stem", "inner", "outer")}
    scores = l1(graph)
    np.testing.assert_allclose(
        scores[graph["inner"].units], np.abs(kernels["inner"]).sum((0, 1, 2)), rtol=1e-6
    )
    both = sum(np.abs(kernels[name]).sum((0, 1, 2)) for name in ("stem", "outer"))
    np.testing.assert_allclose(scores[graph["stem"].units], both, rtol=1e-6)
    squares = sum((kernels[name] ** 2).sum((0, 1, 2)) for name in ("stem", "outer"))
    np.testing.assert_allclose(l2(graph)[graph["stem"].units], np.sqrt(squares), rtol=1e-6)


def test_random_depends_on_the_seed_only():
    graph = kc.ChannelGraph(networks.small_convnet())
    np.testing.assert_array_equal(random(graph, 3), random(graph, 3))
    assert not np.array_equal(random(graph, 3), random(graph, 4))


def test_fpgm_is_the_sum_of_distances_in_the_layer():
    model = networks.small_convnet()
    graph = kc.ChannelGraph(model)
    expected = 0.0
    for name in ("stem", "outer"):
        filters = np.moveaxis(model.get_layer(name).kernel.numpy(), -1, 0).reshape(6, -1)
        expected += np.linalg.norm(filters[:, None] - filters[None], axis=-1).sum(axis=1)
    np.testing.assert_allclose(fpgm(graph)[graph["stem"].units], expected, rtol=1e-6)


def test_equal_filters_have_no_distance():
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(5, 3, kernel_initializer="ones", name="conv")(inputs)
    graph = kc.ChannelGraph(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x))))
    np.testing.assert_array_equal(fpgm(graph)[graph["conv"].units], np.zeros(5))


def test_bn_scale_is_gamma_and_nan_without():
    model = networks.small_convnet()
    graph = kc.ChannelGraph(model)
    gamma = np.array([1.0, -2.0, 3.0, 0.0, 5.0, -6.0])
    model.get_layer("stem_bn").gamma.assign(gamma)
    scores = bn_scale(graph)
    np.testing.assert_array_equal(scores[graph["stem"].units], np.abs(gamma))
    assert np.isnan(scores[graph["inner"].units]).all()


def test_bn_scale_adds_all_normalisations_of_a_channel():
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 1, name="conv")(inputs)
    y = layers.BatchNormalization(scale=False)(x)
    y = layers.BatchNormalization(gamma_initializer=keras.initializers.Constant(-2.0))(y)
    x = layers.Concatenate()([y, layers.BatchNormalization()(x)])
    graph = kc.ChannelGraph(keras.Model(inputs, layers.Conv2D(2, 1)(x)))
    np.testing.assert_array_equal(bn_scale(graph)[graph["conv"].units], [3.0] * 3)


def test_shares_are_of_what_the_group_has_left():
    graph = kc.ChannelGraph(networks.small_convnet())
    scores = np.ones(graph.num_units)
    scores[graph["stem"].units] = [4.0, 1.0, 2.0, 8.0, 3.0, 2.0]
    shares = group_shares(graph, scores)
    expected = 6 * np.array([4 / 12, 1 / 20, 2 / 19, 8 / 8, 3 / 15, 2 / 17])
    np.testing.assert_allclose(shares[graph["stem"].units], expected)
    equal = np.sort(shares[graph["hidden"].units])
    np.testing.assert_allclose(equal, 10 / np.arange(10, 0, -1))


@pytest.mark.parametrize("criterion", ["l1", "l2", "fpgm"])
def test_shares_do_not_depend_on_a_layers_scale(criterion):
    model = networks.small_convnet()
    before = kc.prune_masks(model, 0.5, criterion=criterion)
    inner = model.get_layer("inner")
    inner.kernel.assign(inner.kernel * 50.0)
    after = kc.prune_masks(model, 0.5, criterion=criterion)
    assert not before["inner"].all()
    for name, mask in before.items():
        np.testing.assert_array_equal(mask, after[name])
