"""One-shot pruning: exact, on budget, by the criterion and limits asked for."""

import invariants
import networks
import numpy as np
import pytest

import keras_cascade as kc


def test_pruned_model_is_exact_and_on_budget(architecture):
    small = kc.prune(architecture, 0.5)
    before, after = kc.profile(architecture), kc.profile(small)
    assert after.macs / before.macs == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("criterion", ["l2", "l1", "fpgm", "random"])
def test_every_criterion_meets_the_budget(criterion):
    model = networks.small_convnet()
    graph = kc.ChannelGraph(model)
    masks = kc.prune_masks(model, 0.5, criterion=criterion)
    assert graph.macs(masks) / graph.macs() == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize("criterion", ["l2", "fpgm", "bn_scale"])
@pytest.mark.parametrize("name", ["vgg16", "resnet20", "MobileNetV2"])
def test_no_group_collapses_in_global_scope(name, criterion):
    model = networks.build(name)
    kept = [
        mask.mean()
        for mask in kc.prune_masks(model, 0.5, criterion=criterion).values()
        if mask.size >= 8
    ]
    assert min(kept) > 0.3


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_prune_cuts_by_its_masks(scope):
    model = networks.small_convnet()
    masks = kc.prune_masks(model, 0.5, budget="params", scope=scope, min_channels=2)
    small = kc.prune(model, 0.5, budget="params", scope=scope, min_channels=2)
    expected = kc.Surgeon(model).extract(masks, verify=False)
    invariants.assert_same_outputs(invariants.outputs_of(expected), invariants.outputs_of(small))
    assert min(mask.sum() for mask in masks.values()) >= 2


def test_own_criterion_decides():
    model = networks.small_convnet()
    first = kc.prune(model, 0.4, criterion=lambda graph: -np.arange(graph.num_units))
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


# A group by a layer that makes it, by one that only hands its channels on, and by its name.
@pytest.mark.parametrize("keep", [("outer",), ("pool",), "stem"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_keep_leaves_layers_whole(keep, scope):
    masks = kc.prune_masks(networks.small_convnet(), 0.5, scope=scope, keep=keep)
    assert masks["stem"].all()
    assert not masks["inner"].all()


def test_keep_counts_in_what_can_be_removed():
    model = networks.small_convnet()
    with pytest.raises(ValueError, match="with min_channels=1.*inner, hidden left whole at most"):
        kc.prune(model, 0.9, keep=("inner", "hidden"))
    with pytest.raises(ValueError, match="no layer or channel group 'iner'; did you mean 'inner'"):
        kc.prune(model, 0.5, keep=("iner",))


def test_bad_arguments():
    model = networks.small_convnet()
    with pytest.raises(ValueError, match="Unknown criterion 'hessian'.*'l1'.*'taylor'"):
        kc.prune(model, 0.5, criterion="hessian")
    with pytest.raises(ValueError, match="between 0 and 1"):
        kc.prune(model, 1.5)
    with pytest.raises(ValueError, match="at most"):
        kc.prune(model, 0.99)
    with pytest.raises(ValueError, match="round_to"):
        kc.prune(model, 0.5, round_to=0)


def test_criterion_must_score_every_unit():
    model = networks.small_convnet()
    with pytest.raises(ValueError, match=r"score for each of the \d+ units.*\(3,\)"):
        kc.prune(model, 0.3, criterion=lambda graph: np.ones(3))
    with pytest.raises(ValueError, match="no finite score for channels of stem, inner, hidden"):
        kc.prune(model, 0.3, criterion=lambda graph: np.full(graph.num_units, np.nan))


def test_bn_scale_without_normalisation_wants_the_group_kept():
    model = networks.small_convnet()
    with pytest.raises(ValueError, match=r"'bn_scale' needs.*of inner, hidden.*keep=\('inner',"):
        kc.prune(model, 0.3, criterion="bn_scale")
    masks = kc.prune_masks(model, 0.3, criterion="bn_scale", keep=("inner", "hidden"))
    gamma = np.abs(model.get_layer("stem_bn").gamma.numpy())
    assert gamma[~masks["stem"]].max() < gamma[masks["stem"]].min()
