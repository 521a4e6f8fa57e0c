"""Stored masks: text a person can read, the same masks back, other models refused."""

import json

import invariants
import networks
import numpy as np
import pytest

import keras_cascade as kc


def test_masks_come_back(architecture, rng):
    graph = kc.ChannelGraph(architecture)
    masks = invariants.random_masks(graph, rng)
    back = graph.masks_from_json(graph.to_json(masks))
    assert list(back) == list(masks)
    for name, mask in masks.items():
        np.testing.assert_array_equal(back[name], mask)


def test_a_fresh_copy_is_cut_alike():
    model = networks.small_convnet()
    graph = kc.ChannelGraph(model)
    text = graph.to_json(kc.prune_masks(model, 0.5))
    fresh = networks.small_convnet()
    fresh.name = "another_name"
    small = kc.Surgeon(fresh).extract(kc.ChannelGraph(fresh).masks_from_json(text))
    assert kc.ChannelGraph(small).macs() == graph.macs(graph.masks_from_json(text))


def test_text_is_readable():
    graph = kc.ChannelGraph(networks.small_convnet())
    kept = np.array([1, 1, 1, 0, 1, 0, 1, 1], bool)
    stored = json.loads(graph.to_json({"inner": kept}))
    assert stored == {
        "format": "keras_cascade masks",
        "version": 1,
        "model": "small",
        "params": graph.params(),
        "groups": {
            "stem": {"size": 6, "kept": "all"},
            "inner": {"size": 8, "kept": "0-2, 4, 6-7"},
            "hidden": {"size": 10, "kept": "all"},
            "logits": {"size": 4, "kept": "all"},
        },
    }


def _stored(**changes):
    text = kc.ChannelGraph(networks.small_convnet()).to_json({})
    return {**json.loads(text), **changes}


def _with_group(name, entry):
    stored = _stored()
    stored["groups"][name] = entry
    return stored


def _without_group(name):
    stored = _stored()
    del stored["groups"][name]
    return stored


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (_stored(version=2), "version 1, got.*version 2"),
        (_stored(format="masks"), "got format 'masks'"),
        (_stored(params="many"), "no valid 'params': 'many'"),
        (_stored(groups=[]), "no valid 'groups'"),
        ([1], "JSON object, got list"),
        (_stored(params=7), "of model 'small', this is 'small': it has .* the stored one 7"),
        (_with_group("tail", {"size": 3, "kept": "all"}), "which has no group 'tail'"),
        (_with_group("inner", {"size": 9, "kept": "all"}), "'inner' has 8 channels, stored are 9"),
        (_with_group("inner", "all"), "'inner' needs 'size' and 'kept'"),
        (_with_group("inner", {"size": 8, "kept": "0-8"}), "channels 0 to 7; kept names '0-8'"),
        (_with_group("inner", {"size": 8, "kept": "5-2"}), "channels 0 to 7; kept names '5-2'"),
        (_with_group("inner", {"size": 8, "kept": ""}), "cannot read '' in kept = ''"),
        (_with_group("inner", {"size": 8, "kept": "1, x"}), "cannot read ' x' in kept"),
        (_with_group("logits", {"size": 4, "kept": "1"}), "'logits' is kept whole"),
        (_without_group("hidden"), "group 'hidden' is missing"),
    ],
)
def test_bad_text(stored, message):
    graph = kc.ChannelGraph(networks.small_convnet())
    with pytest.raises(ValueError, match=message):
        graph.masks_from_json(json.dumps(stored))


def test_broken_text_and_another_model():
    graph = kc.ChannelGraph(networks.small_convnet())
    with pytest.raises(ValueError, match="no JSON: .*cut off"):
        graph.masks_from_json(graph.to_json({})[:100])
    with pytest.raises(ValueError, match="of model 'small', this is .*which has no group 'stem'"):
        kc.ChannelGraph(networks.build("vgg16")).masks_from_json(graph.to_json({}))
