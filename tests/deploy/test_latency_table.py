"""Latency as a budget: from times of a known law the law is found again. No time is asserted."""

import json
import types

import invariants
import keras
import networks
import numpy as np
import pytest
from marks import slow

import keras_cascade as kc
from keras_cascade.deploy import LatencyTable, latency_pruning, latency_table, prune_to_latency
from keras_cascade.graph import segments
from keras_cascade.saliency import OneShot

START, PER_ELEMENT, PER_MAC = 0.05, 2e-4, 3e-5  # milliseconds


def law(model):
    """What a made-up runtime takes for a whole model or a segment, in milliseconds."""
    ends = [*model.inputs, *model.outputs]
    elements = sum(int(np.prod(tensor.shape[1:])) for tensor in ends)
    return 0.01 + PER_ELEMENT * elements + PER_MAC * kc.ChannelGraph(model).macs()


class Runtime:
    """Stands in for LiteRT: a file is a model that is remembered by its path."""

    def __init__(self, milliseconds=law):
        self.milliseconds, self.models, self.written = milliseconds, {}, []

    def write(self, model, path, quantize=None, keep_batch=False):
        self.models[path] = model
        self.written.append(quantize)

    def measure(self, paths, threads, runs, warmup=0):
        started = {
            name: START + self.milliseconds(self.models[path]) for name, path in paths.items()
        }
        if "start" in paths:
            started["start"] = START
        return {name: types.SimpleNamespace(median_ms=ms) for name, ms in started.items()}


@pytest.fixture
def runtime(monkeypatch):
    made = Runtime()
    for module in (latency_table, latency_pruning):
        monkeypatch.setattr(module, "write_litert", made.write)
        monkeypatch.setattr(module, "measure_latency", made.measure)
    return made


def table(tmp_path, **settings):
    return LatencyTable(cache=tmp_path / "cache" / "latency.json", verbose=False, **settings)


@pytest.mark.parametrize("name", ["resnet20", *slow("vgg16", "MobileNetV2")])
def test_the_law_of_the_runtime_is_found(name, runtime, tmp_path, rng):
    model = networks.build(name)
    graph = kc.ChannelGraph(model)
    cost = table(tmp_path)(graph)
    for share in (1.0, 0.6, 0.2):
        masks = invariants.random_masks(graph, rng, share)
        small = kc.ChannelGraph(kc.Surgeon(model, graph).extract(masks, verify=False))
        expected = sum(law(part.model()) for part in segments(small))
        assert cost.total(graph.keep_vector(masks)) / 1e6 == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_a_segment_is_measured_once(runtime, tmp_path):
    model = networks.build("resnet20")
    first = table(tmp_path)(kc.ChannelGraph(model))
    written = len(runtime.written)
    # Of 22 layers that multiply, those of a stage are alike; five sizes; and the empty model.
    assert written < 22 * 5 + 1
    again = table(tmp_path)(kc.ChannelGraph(networks.build("resnet20")))
    assert len(runtime.written) == written
    keep = kc.ChannelGraph(model).keep_vector()
    assert again.total(keep) == first.total(keep)
    table(tmp_path, quantize="float16")(kc.ChannelGraph(model))
    assert runtime.written[written:] == ["float16"] * written


def test_a_damaged_cache_is_refused(runtime, tmp_path):
    graph, path = kc.ChannelGraph(networks.small_convnet()), tmp_path / "latency.json"
    for content in ("{", "[]", json.dumps({"seconds": {}})):
        path.write_text(content)
        with pytest.raises(ValueError, match="latency.json' holds no measured.*Delete it"):
            LatencyTable(cache=path, verbose=False)(graph)
        assert path.read_text() == content


def test_open_sizes_have_no_latency(tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3)(keras.layers.Conv2D(8, 3)(inputs)))
    with pytest.raises(ValueError, match="fixed input shape"):
        kc.prune(model, 0.5, budget="latency")


@pytest.mark.parametrize("share", [0.5, *slow(0.8, 0.35)])
def test_a_target_in_milliseconds_is_met(runtime, tmp_path, share):
    """The whole model does not take what its segments add up to, so the amount is corrected."""
    model = networks.build("vgg16")
    runtime.milliseconds = lambda model: law(model) ** 1.3
    whole = START + law(model) ** 1.3
    small, masks, reached = prune_to_latency(
        model, share * whole, cache=tmp_path / "latency.json", tolerance=0.05
    )
    assert START + law(small) ** 1.3 == pytest.approx(reached)
    assert reached == pytest.approx(share * whole, rel=0.05)
    assert kc.ChannelGraph(model).macs(masks) == kc.ChannelGraph(small).macs()


def test_a_target_on_a_steep_slope_is_closed_in_on(runtime, tmp_path):
    """Where what a kernel works on fits the cache, latency drops: no power law leads there."""
    model = networks.build("vgg16")
    dense = law(model)

    def steep(model):
        left = law(model) / dense
        if len(model.layers) < 20:  # a piece of the network
            return law(model)
        return 30.0 * np.interp(left, [0.0, 0.40, 0.44, 1.0], [0.0, 0.3, 0.75, 1.0])

    runtime.milliseconds = steep
    wanted = START + 0.6 * 30.0
    _, _, reached = prune_to_latency(model, wanted, cache=tmp_path / "latency.json")
    assert reached == pytest.approx(wanted, rel=0.05)


def test_a_target_just_beyond_what_is_predicted_to_be_reachable_is_met(runtime, tmp_path):
    """It is within the tolerance of what the model takes with as few channels as may be."""
    model, cache = networks.small_convnet(), tmp_path / "latency.json"
    least = kc.ChannelGraph(model)
    cost = LatencyTable(cache=cache, verbose=False)(least)
    scored = OneShot(least, "macs", min_channels=3)
    floors = least.keep_vector(scored.masks(scored.reachable()))
    small = kc.Surgeon(model, least).extract(least.masks(floors))
    milliseconds = START + law(small)
    assert cost.total(floors) < cost.total(least.keep_vector())
    for share in (0.97, 1.0):
        _, _, reached = prune_to_latency(
            model, share * milliseconds, cache=cache, min_channels=3, tolerance=0.05
        )
        assert reached == pytest.approx(milliseconds)


def test_targets_that_cannot_be_met(runtime, tmp_path):
    model, cache = networks.small_convnet(), tmp_path / "latency.json"
    whole = START + law(model)
    with pytest.raises(ValueError, match="Nothing of 'small' may be removed. Lower min_channels"):
        prune_to_latency(model, 0.5 * whole, cache=cache, min_channels=10_000)
    for wrong in (0.0, whole, 2 * whole):
        with pytest.raises(ValueError, match="must lie between 0 and what the whole model takes"):
            prune_to_latency(model, wrong, cache=cache)
    with pytest.raises(ValueError, match=r"With every channel removed .* Lower min_channels"):
        prune_to_latency(model, 0.01 * whole, cache=cache)
    with pytest.raises(ValueError, match="The nearest that 10 rounds came to .* round_to"):
        prune_to_latency(model, 0.7 * whole, cache=cache, tolerance=1e-9)


def _frames_in_the_batch():
    """Of single frames no segment behind the last reshape could be run."""
    inputs = keras.Input((4, 6, 6, 3))
    x = keras.layers.Conv2D(8, 3)(keras.ops.reshape(inputs, (-1, 6, 6, 3)))
    x = keras.layers.Conv2D(8, 3)(x)
    return keras.Model(inputs, keras.layers.Dense(6)(keras.ops.reshape(x, (-1, 4, 2 * 2 * 8))))


@pytest.mark.only_on("tensorflow", "jax", reason="Keras on PyTorch writes no .tflite")
@pytest.mark.parametrize("make", [networks.small_convnet, _frames_in_the_batch])
@pytest.mark.parametrize("quantize", [None, *slow("int8")])
def test_on_litert_itself(make, quantize, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="running .tflite needs ai-edge-litert")
    graph = kc.ChannelGraph(make())
    cost = table(tmp_path, quantize=quantize, runs=3)(graph)
    assert cost.total(graph.keep_vector()) > 0
    assert (cost.per_unit(graph.keep_vector()) >= 0).all()
