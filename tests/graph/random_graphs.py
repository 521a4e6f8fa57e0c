"""Random functional models for property tests: branches, merges, sharing, nesting, heads.

A model grows from its inputs: each move takes tensors that are there already and adds new ones.
Tensors that are to be merged are first brought to one shape, so that every draw is a model.
"""

import invariants
import keras
import networks
import numpy as np
from hypothesis import strategies as st
from keras import layers, tree
from random_layers import dense, recurrent, step, to_other_rank, to_vector
from random_operations import count, is_small, pick, several

import keras_cascade as kc
from keras_cascade.graph.rules import rule_inputs

DEEPEST = 2  # models inside models
MASKS = ("random", "smallest", "single")


@st.composite
def models(draw):
    """Strategy for built functional models with weights in which no part is neutral."""
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(count(draw, 0, 99))
    inputs, ends, earlier = [], [], []
    for index in range(pick(draw, 1, 1, 1, 2)):
        given = _input(draw, f"input_{index}")
        inputs.append(given)
        grower = Grower(draw, [_first_step(draw, given)], earlier=earlier)
        grower.grow(count(draw, 2, 9))
        ends.append(grower.tensors[-1])
        earlier = grower.tensors
    outputs = _heads(draw, ends, earlier)
    return networks.unsettled(keras.Model(inputs, outputs, name="random"))


def _input(draw, name):
    kind = pick(draw, "image", "image", "image", "sequence", "sequence", "tokens")
    if kind == "image":
        return keras.Input((count(draw, 3, 6), count(draw, 3, 6), count(draw, 1, 3)), name=name)
    if kind == "sequence":
        return keras.Input((count(draw, 2, 5), count(draw, 1, 4)), name=name)
    return keras.Input((count(draw, 2, 5),), dtype="int32", name=name)


def _first_step(draw, given):
    if given.dtype == "int32":
        return layers.Embedding(11, several(draw), mask_zero=draw(st.booleans()))(given)
    if len(given.shape) == 4:
        return layers.Conv2D(several(draw), 3, padding="same")(given)
    return pick(draw, given, layers.Dense(several(draw))(given))


def _heads(draw, ends, earlier):
    """One or two heads on the ends of all streams; rarely the bare tensor."""
    vectors = [to_vector(draw, end.shape[1:])(end) for end in ends]
    x = layers.Concatenate()(vectors) if len(vectors) > 1 else vectors[0]
    if draw(st.booleans()):
        x = layers.BatchNormalization()(dense(draw, x.shape[1:])(x))
    head = layers.Dense(3, activation=pick(draw, None, "softmax"), name="head")
    kind = pick(draw, *["one"] * 6, "two", "two", "bare", "dict")
    if kind == "one":
        return head(x)
    if kind == "bare":
        return x
    if kind == "dict":
        return {"class": head(x), "features": x}
    other = draw(st.sampled_from(earlier))
    return [head(x), layers.Dense(2, name="other_head")(to_vector(draw, other.shape[1:])(other))]


class Grower:
    """The tensors of one level of nesting, and the moves that add to them.

    Args:
        draw: hypothesis's.
        tensors: list of symbolic tensors to begin with.
        earlier: tensors of another stream, which merges may take.
        depth: how many models are around this one.
    """

    def __init__(self, draw, tensors, earlier=(), depth=0):
        self.draw, self.tensors, self.earlier, self.depth = draw, tensors, list(earlier), depth
        self.called = []  # pairs `(step, shape)` of what may be called again

    def grow(self, moves):
        for _ in range(moves):
            several = [self._on, self._merge, self._merge, self._again, self._bridge, self._nest]
            move = pick(self.draw, *[self._on] * 4, *several)
            move()

    def _some(self):
        """The newest tensor, or now and then an older one."""
        return pick(self.draw, self.tensors[-1], self.tensors[-1], *self.tensors)

    def _call(self, made, x):
        self.called.append((made, x.shape))
        self.tensors += tree.flatten(made(x))

    def _on(self):
        x = self._some()
        self._call(step(self.draw, x.shape[1:]), x)

    def _bridge(self):
        x = self._some()
        self._call(to_other_rank(self.draw, x.shape[1:]), x)

    def _again(self):
        """A layer, block or nested model called before, on another tensor of the same shape."""
        if not self.called:
            return self._on()
        made, shape = self.draw(st.sampled_from(self.called))
        candidates = [x for x in self.tensors if len(x.shape) == len(shape)]
        x = self._fitted(self.draw(st.sampled_from(candidates)), shape[1:])
        self.tensors += tree.flatten(made(x))
        return None

    def _nest(self):
        """A model of its own inside the model."""
        if self.depth == DEEPEST:
            return self._on()
        x = self._some()
        build = _sequential if self.draw(st.booleans()) else _functional
        return self._call(build(self.draw, x.shape[1:], self.depth + 1), x)

    def _merge(self):
        x = self._some()
        others = [y for y in self.tensors + self.earlier if len(y.shape) == len(x.shape)]
        y = self.draw(st.sampled_from(others))
        moves = [self._elementwise, self._elementwise, self._concatenated]
        if len(x.shape) == 2:
            moves.append(self._dot)
        if len(x.shape) == 3:
            moves += [self._attended, self._continued]
        self.tensors += tree.flatten(pick(self.draw, *moves)(x, y))

    def _elementwise(self, x, y):
        kinds = "Add Subtract Multiply Average Maximum Minimum".split()
        kind = pick(self.draw, "Add", "Add", *kinds)
        y = self._fitted(y, x.shape[1:])
        if len(x.shape) == 4 and kind == "Multiply":
            y = pick(self.draw, y, layers.Conv2D(1, 1)(y))  # one map for all channels
        return getattr(layers, kind)()([x, y])

    def _concatenated(self, x, y):
        if not (is_small(x.shape[1:]) and is_small(y.shape[1:])):
            return self._elementwise(x, y)
        axis = pick(self.draw, -1, -1, count(self.draw, 1, len(x.shape) - 1))
        sizes = list(x.shape[1:])
        sizes[axis if axis < 0 else axis - 1] = y.shape[axis]
        y = self._fitted(y, sizes)
        parts = pick(self.draw, [x, y], [y, x], [x, y, x])
        return layers.Concatenate(axis=axis)(parts)

    def _dot(self, x, y):
        return layers.Dot(axes=1, normalize=True)([x, self._fitted(y, x.shape[1:])])

    def _attended(self, x, y):
        kind = pick(self.draw, "plain", "heads")
        if kind == "plain":
            return layers.Attention()([x, layers.Dense(x.shape[-1])(y)])
        return layers.MultiHeadAttention(2, 2, use_bias=False)(
            query=x, value=y, key=layers.Dense(3)(y)
        )

    def _continued(self, x, y):
        """A recurrent layer that begins where another ended."""
        first = recurrent(self.draw, return_state=True)
        _, *states = first(y)
        second = type(first)(first.units, return_sequences=True)
        return second(x, initial_state=states)

    def _fitted(self, x, shape):
        """`x` cropped or padded to the positions of a shape, with as many channels."""
        shape = tuple(shape)
        if x.shape[1:-1] != shape[:-1]:
            kinds = {3: (layers.Cropping1D, layers.ZeroPadding1D)}
            kinds[4] = layers.Cropping2D, layers.ZeroPadding2D
            crop, pad = kinds[len(x.shape)]
            missing = [n - m for m, n in zip(x.shape[1:-1], shape[:-1], strict=True)]
            if min(missing) < 0:
                x = crop(_sides([max(0, -n) for n in missing]))(x)
            if max(missing) > 0:
                x = pad(_sides([max(0, n) for n in missing]))(x)
        if x.shape[-1] == shape[-1]:
            return x
        if len(shape) == 3 and self.draw(st.booleans()):
            return layers.Conv2D(shape[-1], 1)(x)
        return layers.Dense(shape[-1])(x)


def _sides(numbers):
    pairs = tuple((0, number) for number in numbers)
    return pairs[0] if len(pairs) == 1 else pairs


def _functional(draw, shape, depth):
    given = keras.Input(shape)
    grower = Grower(draw, [given], depth=depth)
    grower.grow(count(draw, 1, 3))
    last = grower.tensors[-1]
    if last is given:
        last = layers.Identity()(given)
    two = draw(st.integers(0, 4)) == 4 and len(grower.tensors) > 2
    return keras.Model(given, [last, grower.tensors[1]] if two else last)


def _sequential(draw, shape, depth):
    model = keras.Sequential([keras.Input(shape)])
    for _ in range(count(draw, 1, 3)):
        shape = model.output_shape[1:] if model.layers else shape
        if depth < DEEPEST and draw(st.integers(0, 5)) == 5:
            made = _sequential(draw, shape, depth + 1)
        else:
            made = step(draw, shape)
        model.add(made if isinstance(made, layers.Layer) else layers.Dense(count(draw, 1, 4)))
    return model


def listing(graph):
    """A model's calls as text, one a line, for the report of a failure."""
    names = {tensor: f"input_{index}" for index, tensor in enumerate(graph.trace.inputs)}
    lines = []
    for call in graph.trace.calls:
        read = ", ".join(f"{names[x]}{x.shape[1:]}" for x in call.inputs)
        kind = type(call.operation).__name__
        for index, made in enumerate(call.outputs):
            names[made] = f"{call.name}:{index}" if index else call.name
        made = ", ".join(str(x.shape[1:]) for x in call.outputs)
        lines.append(f"{call.name} = {kind}({read}) -> {made}")
    ends = ", ".join(names[tensor] for tensor in graph.trace.outputs)
    return "\n".join([*lines, f"outputs: {ends}"])


def masks_of(graph, kind, seed):
    """Masks of one of the kinds `MASKS`: channels by chance, one of each group, of one."""
    random = np.random.default_rng(seed)
    groups = graph.prunable_groups
    if kind == "random":
        return invariants.random_masks(graph, random)
    if kind == "single" and groups:
        groups = [groups[random.integers(len(groups))]]
    return invariants.smallest_masks(graph, random, groups)


def assert_exact(model, graph, kind, seed):
    """Invariants 1, 3 and 6 of one model; returns whether anything was removed."""
    for call in graph.trace.calls:
        if rule_inputs(call.operation, {}) is None:
            assert_kept(graph, call)
    masks = masks_of(graph, kind, seed)
    small = invariants.assert_extraction(model, masks, changes=False)
    if kind == "random":
        smaller = kc.ChannelGraph(small)
        invariants.assert_extraction(small, masks_of(smaller, kind, seed), changes=False)
    else:
        kc.Surgeon(model, graph).extract(masks)  # what it verifies itself
    return not all(mask.all() for mask in masks.values())


def assert_kept(graph, call):
    """Invariant 6: what an unknown call touches is kept whole, and the summary says why."""
    for tensor in (*call.inputs, *call.outputs):
        labels = graph.channels[tensor].labels
        if labels is None:
            continue
        assert not graph.is_prunable(labels)
        units = set(graph.units_at(labels).tolist())
        for group in graph.groups:
            if not units.isdisjoint(range(group.units.start, group.units.stop)):
                assert group.reason and group.reason in graph.summary()
