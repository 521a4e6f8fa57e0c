"""Ranking: budgets met, floors and rounding honoured, the least salient removed."""

import keras
import networks
import numpy as np
import pytest
from keras import layers

import keras_cascade as kc
from keras_cascade.saliency import Ranking


@pytest.mark.parametrize("budget", ["macs", "params", "channels"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_budget_is_met_within_a_percent_or_says_why(architecture, rng, budget, scope):
    graph = kc.ChannelGraph(architecture)
    ranking = Ranking(graph, budget, scope, min_channels=1)
    saliency = rng.random(graph.num_units) ** 4
    for amount in (0.25, 0.5, 0.75):
        keep = ranking.keep(saliency, amount)
        removed = ranking.removed(keep)
        assert removed >= amount - 1e-9
        assert removed <= amount + 0.01 or "rounding" in ranking.miss(keep, amount)
        cost = graph.cost(budget)
        everything = cost.total(graph.keep_vector())
        assert removed == pytest.approx(1 - cost.total(keep) / everything)
        just_less = ranking.removed(ranking.keep(saliency, amount, at_most=True))
        assert just_less <= amount + 1e-9 and just_less <= removed


def test_budget_is_met_closely_where_channels_are_many(rng):
    graph = kc.ChannelGraph(networks.build("DenseNet121"))
    for scope in ("global", "layer"):
        ranking = Ranking(graph, "macs", scope)
        saliency = rng.random(graph.num_units)
        for at_most in (False, True):
            removed = ranking.removed(ranking.keep(saliency, 0.6, at_most))
            assert removed == pytest.approx(0.6, abs=0.003)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_floor_and_rounding(architecture, rng, scope):
    graph = kc.ChannelGraph(architecture)
    ranking = Ranking(graph, "macs", scope, round_to=4, min_channels=6)
    masks = graph.masks(ranking.keep(rng.random(graph.num_units), 0.6))
    for group in graph.prunable_groups:
        kept = masks[group.name].sum()
        assert kept >= min(group.size, 8)
        assert kept % 4 == 0 or kept == group.size


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_within_a_group_the_least_salient_go(architecture, rng, scope):
    graph = kc.ChannelGraph(architecture)
    saliency = rng.random(graph.num_units)
    masks = graph.masks(Ranking(graph, "macs", scope).keep(saliency, 0.5))
    for group in graph.prunable_groups:
        scores, mask = saliency[group.units], masks[group.name]
        if not mask.all():
            assert scores[~mask].max() < scores[mask].min()


def test_layer_scope_takes_the_same_fraction_everywhere(rng):
    graph = kc.ChannelGraph(networks.build("vgg16"))
    ranking = Ranking(graph, "macs", "layer", min_channels=1)
    masks = graph.masks(ranking.keep(rng.random(graph.num_units), 0.75))
    fractions = [mask.mean() - 1 / mask.size for mask in masks.values()]
    assert max(fractions) - min(fractions) < 0.13  # within a channel of groups of 8 and more


def test_global_scope_divides_by_cost():
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", name="dear")(inputs)
    x = layers.MaxPooling2D(8)(x)
    x = layers.Conv2D(8, 3, padding="same", name="cheap")(x)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    graph = kc.ChannelGraph(model)
    ranking = Ranking(graph, "macs", "global", min_channels=1)
    masks = graph.masks(ranking.keep(np.ones(graph.num_units), 0.5))
    assert masks["dear"].sum() < 8 and masks["cheap"].all()


def test_a_costly_channel_stays_where_others_are_worth_less():
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, padding="same", name="dear")(inputs)
    x = layers.MaxPooling2D(4)(x)
    x = layers.Conv2D(64, 3, padding="same", name="cheap")(x)
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten()(x)))
    graph = kc.ChannelGraph(model)
    ranking = Ranking(graph, "macs", "global", min_channels=1)
    cost = graph.cost("macs").per_unit(graph.keep_vector())
    units = {name: graph[name].units for name in ("dear", "cheap")}
    amount = 5 * cost[units["cheap"]].mean() / graph.cost("macs").total(graph.keep_vector())
    saliency = np.ones(graph.num_units)
    times = cost[units["dear"]].mean() / cost[units["cheap"]].mean()
    assert times > 20
    # Per cost both are worth less than a cheap one.
    for worth, expected in (
        (0.9 * times, {"dear": 0, "cheap": 5}),
        (0.9, {"dear": 1, "cheap": 0}),
    ):
        saliency[units["dear"]] = worth
        keep = ranking.keep(saliency, amount)
        lost = {name: int((~keep[where]).sum()) for name, where in units.items()}
        assert lost == expected
        assert ranking.removed(keep) >= amount - 1e-9


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("round_to", [1, 4])
def test_what_an_earlier_keep_vector_removed_stays_removed(architecture, rng, scope, round_to):
    graph = kc.ChannelGraph(architecture)
    ranking = Ranking(graph, "macs", scope, round_to, min_channels=1)
    keep = graph.keep_vector()
    for amount in (0.2, 0.4, 0.6):
        among, at_most = keep, amount < 0.6
        saliency = rng.random(graph.num_units) ** 4
        keep = ranking.keep(saliency, amount, at_most, among)
        assert not (keep & ~among).any()
        assert not at_most or ranking.removed(keep) <= amount + 1e-9
        for group in graph.prunable_groups:
            kept = keep[group.units].sum()
            assert kept % round_to == 0 or kept == group.size
    assert ranking.removed(keep) >= 0.6 - 1e-9


def test_without_costs_the_lowest_go_wherever_they_are(rng):
    graph = kc.ChannelGraph(networks.small_convnet())
    saliency = rng.permutation(graph.num_units).astype(float)
    ranking = Ranking(graph, "channels", min_channels=1, per_cost=False)
    keep = ranking.keep(saliency, 0.25)
    prunable = np.concatenate([np.arange(graph.num_units)[g.units] for g in graph.prunable_groups])
    lowest = prunable[np.argsort(saliency[prunable])[:6]]
    np.testing.assert_array_equal(np.flatnonzero(~keep), np.sort(lowest))


def test_what_a_named_layer_makes_or_puts_out_is_kept_whole(rng):
    inputs = keras.Input((8, 8, 3))
    first = layers.Conv2D(8, 3, padding="same", name="first")(inputs)
    second = layers.Conv2D(8, 3, padding="same", name="second")(first)
    joined = layers.Concatenate(name="joined")([first, second])
    third = layers.Conv2D(8, 3, name="third")(joined)
    graph = kc.ChannelGraph(keras.Model(inputs, layers.Conv2D(2, 1)(third)))
    for keep, cut in (("joined", {"third"}), (("second",), {"first", "third"})):
        ranking = Ranking(graph, min_channels=1, keep=keep)
        masks = graph.masks(ranking.keep(rng.random(graph.num_units), ranking.reachable()))
        assert {name for name, mask in masks.items() if not mask.all()} == cut
        assert all(masks[name].sum() == 1 for name in cut)


def test_reachable_is_exact():
    graph = kc.ChannelGraph(networks.small_convnet())
    ranking = Ranking(graph, "channels", min_channels=3)
    assert ranking.reachable() == pytest.approx(1 - 9 / 24)
    ranking.check(0.62)
    with pytest.raises(ValueError, match=r"70.00% of the channels.*min_channels=3.*at most 62.50%"):
        ranking.check(0.7)
    with pytest.raises(ValueError, match="between 0 and 1, got 1.0"):
        ranking.check(1.0)


def test_a_floor_that_binds_is_reported(rng):
    graph = kc.ChannelGraph(networks.small_convnet())
    ranking = Ranking(graph, "macs", min_channels=5)
    keep = ranking.keep(rng.random(graph.num_units), 0.9)
    assert "floors" in ranking.miss(keep, 0.9)


def test_bad_arguments():
    graph = kc.ChannelGraph(networks.small_convnet())
    with pytest.raises(ValueError, match="Unknown scope 'net'"):
        Ranking(graph, scope="net")
    with pytest.raises(ValueError, match="Unknown budget 'flops'"):
        Ranking(graph, budget="flops")
    with pytest.raises(ValueError, match="round_to must be an int of at least 1"):
        Ranking(graph, round_to=0)


def test_nothing_to_prune():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2, name="only")(inputs))
    with pytest.raises(ValueError, match="can be pruned .only: model output.*summary"):
        Ranking(kc.ChannelGraph(model))


@pytest.mark.parametrize("round_to", [1, 2])
def test_nothing_is_removed_needlessly(rng, round_to):
    graph = kc.ChannelGraph(networks.small_convnet())
    for budget in ("macs", "params"):
        ranking = Ranking(graph, budget, "global", round_to, min_channels=1)
        for amount in (0.1, 0.3, 0.6):
            saliency = rng.random(graph.num_units) ** 4
            keep = ranking.keep(saliency, amount)
            for group in graph.prunable_groups:
                units = np.arange(group.size) + group.first_unit
                removed = units[~keep[units]]
                if len(removed) >= round_to:
                    best = removed[np.argsort(-saliency[removed])][:round_to]
                    restored = keep.copy()
                    restored[best] = True
                    slack = ranking.removed(restored) - amount
                    assert slack < 1e-9 or ranking.removed(keep) - amount < 0.001


def test_an_unfinished_level_is_not_blamed_on_floors():
    graph = kc.ChannelGraph(networks.small_convnet())
    ranking = Ranking(graph, "macs", min_channels=1)
    assert "not come to its end" in ranking.miss(graph.keep_vector(), 0.5)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_no_side_of_a_split_goes_altogether(scope):
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", name="made")(inputs)
    one, two = keras.ops.split(x, [2], axis=-1)
    x = keras.layers.Concatenate()([keras.layers.Conv2D(2, 1)(one), two])
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1, name="head")(x))
    graph = kc.ChannelGraph(model)
    assert len(graph.indispensable) == 2
    saliency = np.ones(graph.num_units)
    saliency[graph["made"].units] = [0.01, 0.02, 9, 9, 9, 9, 9, 9]  # one side is worth little
    ranking = Ranking(graph, "channels", scope, min_channels=1)
    keep = ranking.keep(saliency, ranking.reachable())[graph["made"].units]
    assert keep[1] and keep[2:].any() and keep.sum() == 2
    with pytest.raises(ValueError, match="leaves nothing of what 'split' makes"):
        graph.keep_vector({"made": np.arange(8) >= 2})


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("round_to", [1, 2])
def test_something_of_every_part_stays(scope, round_to):
    inputs = keras.Input((4, 4, 3))
    parts = keras.ops.split(layers.Conv2D(12, 3, name="made")(inputs), 3, axis=-1)
    heads = [layers.Conv2D(4, 1)(part) for part in parts]
    graph = kc.ChannelGraph(keras.Model(inputs, layers.Concatenate()(heads)))
    ranking = Ranking(graph, "channels", scope, round_to, min_channels=1)
    worst_first = np.arange(graph.num_units, dtype=float)  # the whole first part goes first
    keep = ranking.keep(worst_first, ranking.reachable())
    graph.keep_vector(graph.masks(keep))  # raises where a part is gone
    assert keep[graph["made"].units].sum() == {1: 3, 2: 4}[round_to]
