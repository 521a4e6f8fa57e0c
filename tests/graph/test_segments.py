"""Segments: every call once, and together the model."""

import invariants
import keras
import networks
import numpy as np
import pytest

import keras_cascade as kc
from keras_cascade.graph import segments


def test_segments_one_after_the_other_are_the_model(architecture):
    graph = kc.ChannelGraph(architecture)
    parts = segments(graph)
    assert [call for part in parts for call in part.traced.calls] == graph.trace.calls
    inputs = [np.random.default_rng(0).standard_normal((2, *architecture.input_shape[1:]))]
    values = dict(zip(graph.trace.inputs, inputs, strict=True))
    for part in parts:
        given = [values[tensor] for tensor in part.traced.inputs]
        outputs = keras.tree.flatten(part.model()(given, training=False))
        values.update(zip(part.traced.outputs, outputs, strict=True))
    found = [values[tensor] for tensor in graph.trace.outputs]
    expected = keras.tree.flatten(architecture(inputs[0], training=False))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_costs_of_segments_add_up_at_any_masks(architecture, rng):
    graph = kc.ChannelGraph(architecture)
    for share in (1.0, 0.4):
        masks = invariants.random_masks(graph, rng, share)
        keep = graph.keep_vector(masks)
        small = kc.ChannelGraph(kc.Surgeon(architecture, graph).extract(masks, verify=False))
        assert sum(graph.as_cost(part.macs).total(keep) for part in segments(graph)) == small.macs()
        for part, smaller in zip(segments(graph), segments(small), strict=True):
            ends = [*smaller.traced.inputs, *smaller.traced.outputs]
            elements = sum(int(np.prod(tensor.shape[1:])) for tensor in ends)
            assert graph.as_cost(part.elements).total(keep) == elements


def test_a_budget_of_ones_own_is_met_and_named():
    def activations(graph):
        return graph.as_cost([term for part in segments(graph) for term in part.elements])

    kc.register_budget("activations", activations)
    model = networks.small_convnet()
    graph = kc.ChannelGraph(model)
    masks = kc.prune_masks(model, 0.4, budget="activations")
    cost = graph.cost("activations")
    left = cost.total(graph.keep_vector(masks)) / cost.total(graph.keep_vector())
    assert 0.5 < left <= 0.6
    cascade = kc.CascadeDistiller(model, (0.4,), budget="activations", min_channels=1)
    assert cascade.remaining() == {"teacher": 1.0, "student": 1.0}
    assert cascade.get_config()["budget"] == "activations"


def test_budgets_that_do_not_exist_or_are_built_in():
    model = networks.small_convnet()
    with pytest.raises(ValueError, match="Unknown budget 'watts': use 'macs'.*register_budget"):
        kc.prune(model, 0.5, budget="watts")
    with pytest.raises(ValueError, match="'macs' is built in"):
        kc.register_budget("macs", lambda graph: None)
