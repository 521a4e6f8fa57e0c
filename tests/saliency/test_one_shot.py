"""One-shot pruning and its criteria."""

import invariants
import networks
import numpy as np
import pytest

import keras_cascade as kc
from keras_cascade.saliency.criteria import l1, l2, random


@pytest.mark.parametrize("criterion", ["l1", "l2", "random"])
def test_pruned_model_is_exact_and_on_budget(architecture, criterion):
    small = kc.prune(architecture, 0.5, criterion)
    before, after = kc.profile(architecture), kc.profile(small)
    assert after.macs / before.macs == pytest.approx(0.5, abs=0.03)


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


def test_own_criterion_decides():
    model = networks.small_convnet()
    first = kc.prune(model, 0.4, lambda graph: -np.arange(graph.num_units), min_channels=1)
    kept = first.get_layer("stem").filters
    expected = model.get_layer("stem").kernel.numpy()[..., :kept]
    np.testing.assert_array_equal(first.get_layer("stem").kernel.numpy(), expected)


def test_round_to(architecture):
    small = kc.prune(architecture, 0.5, round_to=8)
    for group in kc.ChannelGraph(small).prunable_groups:
        assert group.size % 8 == 0 or group.size in {
            g.size for g in kc.ChannelGraph(architecture).prunable_groups
        }
    assert invariants.outputs_of(small)[0].shape == (3, 5)


def test_bad_arguments():
    model = networks.small_convnet()
    with pytest.raises(ValueError, match="Unknown criterion 'taylor'.*'l1'"):
        kc.prune(model, 0.5, "taylor")
    with pytest.raises(ValueError, match="between 0 and 1"):
        kc.prune(model, 1.5)
    with pytest.raises(ValueError, match="at most"):
        kc.prune(model, 0.99)


def test_criterion_must_score_every_unit():
    model = networks.small_convnet()
    for bad in (lambda graph: np.ones(3), lambda graph: np.full(graph.num_units, np.nan)):
        with pytest.raises(ValueError, match="finite score for each"):
            kc.prune(model, 0.3, bad)
