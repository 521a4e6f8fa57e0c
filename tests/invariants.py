"""The invariants, each one body that every test of it calls."""

import keras
import numpy as np

import keras_cascade as kc
from keras_cascade.graph.tracing import replay

# What the surgeon may add: inputs, and names for outputs whose layer a nested model hid.
PLAIN = {keras.layers.InputLayer, keras.layers.Identity}


def random_masks(graph, rng, share=0.5):
    """Keeps about `share` of every prunable group, at least one channel."""
    masks = {}
    for group in graph.prunable_groups:
        masks[group.name] = rng.random(group.size) < share
        masks[group.name][rng.integers(group.size)] = True
    return sparing_the_indispensable(graph, masks, rng)


def smallest_masks(graph, rng, groups=None):
    """One channel of every prunable group, or of some groups, where one is allowed to be all."""
    masks = {}
    for group in graph.prunable_groups if groups is None else groups:
        masks[group.name] = np.arange(group.size) == rng.integers(group.size)
    return sparing_the_indispensable(graph, masks, rng)


def sparing_the_indispensable(graph, masks, rng):
    """The masks, with one unit kept of every part that cannot go altogether."""
    for _, units in graph.indispensable:
        unit = rng.choice(units)
        group = next(g for g in graph.groups if unit in range(g.units.start, g.units.stop))
        if group.name in masks:
            masks[group.name][unit - group.first_unit] = True
    return masks


def random_batch(model, examples=3, seed=1):
    """A list of arrays for the model's inputs: normal numbers, or small non-negative integers."""
    random = np.random.default_rng(seed)
    batch = []
    for tensor in model.inputs:
        shape = [tensor.shape[0] or examples] + [size or 16 for size in tensor.shape[1:]]
        whole = keras.backend.is_int_dtype(tensor.dtype)
        values = random.integers(0, 11, shape) if whole else random.standard_normal(shape)
        batch.append(values.astype(tensor.dtype))
    return batch


def outputs_of(model, examples=3, seed=1):
    """The outputs of a model on a random batch, flat, as NumPy arrays."""
    batch = random_batch(model, examples, seed)
    if isinstance(model, keras.Sequential):
        outputs = model(batch[0], training=False)
    else:
        outputs = model(keras.tree.pack_sequence_as(model.input, batch), training=False)
    return [keras.ops.convert_to_numpy(value) for value in keras.tree.flatten(outputs)]


def outputs_of_trace(traced):
    """Those of a traced model when its calls are made again, on the batch of `outputs_of`."""
    batch = [keras.ops.convert_to_tensor(array) for array in random_batch(traced.model)]
    values = replay(traced, batch)
    return [keras.ops.convert_to_numpy(values[tensor]) for tensor in traced.outputs]


def assert_same_outputs(expected, got, tolerance=1e-5):
    """Invariant 1: max |difference| <= tolerance * max(1, max |y|)."""
    for one, other in zip(expected, got, strict=True):
        limit = tolerance * max(1.0, float(np.abs(one).max()))
        assert np.abs(one - other).max() <= limit


def assert_extraction(model, masks, changes=True):
    """Invariants 1 and 3: the extracted model equals the masked one, at the predicted cost.

    `changes` says that the masks must change the output; where they do not, a wrong cut passes.
    """
    graph = kc.ChannelGraph(model)
    small = kc.Surgeon(model).extract(masks, verify=False)
    masked = outputs_of(kc.masked_view(model, masks))
    assert_same_outputs(masked, outputs_of(small))
    whole = outputs_of(model)
    assert_same_outputs(whole, outputs_of_trace(graph.trace))
    removed = [name for name, mask in masks.items() if not np.all(mask)]
    if changes and any(graph[name].consumers for name in removed):
        assert max(np.abs(a - b).max() for a, b in zip(masked, whole, strict=True)) > 1e-4
    assert small.count_params() == graph.params(masks)
    if graph.has_fixed_input:
        assert kc.ChannelGraph(small).macs() == graph.macs(masks)
    assert small.output_names == getattr(model, "output_names", [model.layers[-1].name])
    assert _input_names(small) == _input_names(model)
    known = {type(layer) for layer in graph.trace.layers.values()}
    assert {type(layer) for layer in small.layers} <= known | PLAIN
    assert not small.compiled
    return small


def _input_names(model):
    return [tensor._keras_history.operation.name for tensor in model.inputs]
