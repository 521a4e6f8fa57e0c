"""The channel graph: groups, their reasons, exact costs, and errors that name the fix."""

import keras
import networks
import numpy as np
import pytest
from keras import layers

import keras_cascade as kc


def test_groups_of_a_residual_network():
    graph = kc.ChannelGraph(networks.small_convnet())
    found = {g.name: (g.size, g.prunable, g.producers, g.consumers) for g in graph.groups}
    assert found == {
        "stem": (6, True, ("stem", "outer"), ("inner", "hidden")),
        "inner": (8, True, ("inner",), ("outer",)),
        "hidden": (10, True, ("hidden",), ("logits",)),
        "logits": (4, False, ("logits",), ()),
    }
    assert graph["logits"].reason == "model output"


def test_costs_by_hand():
    graph = kc.ChannelGraph(networks.small_convnet())
    conv = 64 * 9
    assert graph.macs() == conv * (2 * 6 + 6 * 8 + 8 * 6) + 6 * 10 + 10 * 4
    masks = {"stem": np.arange(6) < 2, "inner": np.arange(8) < 5, "hidden": np.arange(10) < 3}
    assert graph.macs(masks) == conv * (2 * 2 + 2 * 5 + 5 * 2) + 2 * 3 + 3 * 4
    kernels = 9 * (2 * 2 + 2 * 5 + 5 * 2) + 2 * 3 + 3 * 4
    assert graph.params(masks) == kernels + (2 + 5 + 2 + 3 + 4) + 4 * 2


def test_marginal_cost_is_the_difference_of_totals(architecture, rng):
    graph = kc.ChannelGraph(architecture)
    for budget in ("macs", "params", "channels"):
        cost, keep = graph.cost(budget), graph.keep_vector()
        marginal = cost.per_unit(keep)
        for group in rng.choice(graph.prunable_groups, 5):
            without = keep.copy()
            without[group.first_unit] = False
            saved = cost.total(keep) - cost.total(without)
            # A channel that meets itself (in and out of one kernel) is counted from both sides.
            assert saved == pytest.approx(marginal[group.first_unit], rel=0.02)


def test_names_are_stable_and_summary_names_everything(architecture):
    first, second = kc.ChannelGraph(architecture), kc.ChannelGraph(architecture)
    names = [group.name for group in first.groups]
    assert names == [group.name for group in second.groups]
    assert len(set(names)) == len(names)
    summary = first.summary()
    assert all(name in summary for name in names)
    assert "model output" in summary
    assert f"{sum(g.size for g in first.prunable_groups):,} of" in summary


def test_params_are_those_keras_counts(architecture):
    assert kc.ChannelGraph(architecture).params() == architecture.count_params()


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"nowhere": [True]}, "no channel group 'nowhere'.*summary"),
        ({"stem": [True] * 5}, r"'stem' has shape \(5,\).*\(6,\)"),
        ({"stem": [False] * 6}, "keeps no channel"),
        ({"stem": [0.5] * 6}, "must be boolean"),
        ({"logits": [True, True, True, False]}, "'logits' is kept whole .model output."),
    ],
)
def test_bad_masks(masks, message):
    graph = kc.ChannelGraph(networks.small_convnet())
    with pytest.raises(ValueError, match=message):
        graph.macs(masks)


class _Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def test_models_that_cannot_be_traced():
    with pytest.raises(TypeError, match="subclassed.*Functional"):
        kc.ChannelGraph(_Subclassed())
    with pytest.raises(TypeError, match=r"Expected a keras\.Model, got str"):
        kc.ChannelGraph("model.keras")
    with pytest.raises(ValueError, match=r"not built.*keras\.Input"):
        kc.ChannelGraph(keras.Sequential([layers.Dense(3)]))


def test_open_input_size_has_params_but_no_macs():
    inputs = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs))
    graph = kc.ChannelGraph(keras.Model(inputs, layers.Dense(2)(x)))
    assert graph.params() == 3 * 9 * 4 + 4 + 4 * 2 + 2
    with pytest.raises(ValueError, match="fixed.*input shape.*budget='params'"):
        graph.macs()
    with pytest.raises(ValueError, match="Unknown budget 'flops'"):
        graph.cost("flops")
