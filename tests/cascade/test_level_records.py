"""level_records: counts and histograms are those of the cascade's own masks and saliency."""

import json

import networks
import numpy as np
import pytest

import keras_cascade as kc
from keras_cascade.cascade import level_records


@pytest.fixture
def cascade(rng):
    made = kc.CascadeDistiller(networks.small_convnet(), (0.3, 0.6), min_channels=1)
    for gates in made._gates:
        saliency = rng.lognormal(sigma=3.0, size=made.graph.num_units)
        saliency[rng.integers(0, made.graph.num_units, 3)] = 0.0
        gates.saliency.assign(saliency)
    made.update_masks()
    return made


def test_counts_are_those_of_the_masks(cascade):
    record = level_records(cascade)
    assert json.loads(json.dumps(record)) == record
    assert [level["name"] for level in record["levels"]] == ["teacher", "ta1", "student"]
    assert [level["to_remove"] for level in record["levels"]] == [None, 0.3, 0.6]
    sizes = {group["name"]: group["size"] for group in record["groups"]}
    assert sizes == {group.name: group.size for group in cascade.graph.groups}
    assert record["levels"][0]["kept"] == sizes and record["levels"][0]["saliency"] is None
    for level in record["levels"]:
        small = cascade.extract(level["name"])
        assert level["params"] == small.count_params()
        assert level["macs"] == kc.ChannelGraph(small).macs()
        kept = {name: int(mask.sum()) for name, mask in cascade.masks(level["name"]).items()}
        assert kept.items() <= level["kept"].items()
    student = record["levels"][-1]["kept"]
    assert sum(student.values()) < sum(sizes.values())


def test_histograms_split_all_channels(cascade):
    record = level_records(cascade, bins=7)
    edges = record["log10_saliency_edges"]
    assert len(edges) == 8
    for level in record["levels"][1:]:
        masks, saliency = cascade.masks(level["name"]), cascade.saliency(level["name"])
        found = level["saliency"]
        values = np.concatenate(list(saliency.values()))
        keep = np.concatenate([masks[name] for name in saliency])
        for kind, which in (("kept", keep), ("removed", ~keep)):
            chosen = values[which & (values > 0)]
            # A value on the last edge is inside; float32 ends cannot fall outside.
            assert sum(found[kind]) == len(chosen)
            assert found[kind] == np.histogram(np.log10(chosen), edges)[0].tolist()
        assert found["zeros"] == (values == 0).sum() > 0


def test_a_cascade_that_was_never_trained():
    cascade = kc.CascadeDistiller(networks.small_convnet(), (0.5,), min_channels=1)
    record = level_records(cascade)
    student = record["levels"][-1]
    assert sum(student["saliency"]["kept"]) == 0
    channels = sum(group["size"] for group in record["groups"] if group["prunable"])
    assert student["saliency"]["zeros"] == channels
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        level_records(cascade, bins=0)
