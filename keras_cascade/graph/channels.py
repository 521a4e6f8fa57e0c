"""Channel labels: which channels of which tensors stand or fall together.

Every layer that makes channels draws fresh *labels* for them, one integer a channel. A tensor
carries the labels of the channels along its channel axis; pooling hands them on, concatenation
joins them, flattening repeats them. An Add *couples* the labels of its two sides, and a layer
that cannot be cut *pins* what it touches. After the whole model is walked, labels coupled to one
another are one *unit*: a channel that can only be removed as a whole.
"""

import dataclasses
from typing import Any

import numpy as np

from keras_cascade.typing import Shape


@dataclasses.dataclass(frozen=True)
class Channels:
    """The channels that run along one axis of a tensor.

    Attributes:
        shape: the tensor's shape, the batch dimension first.
        axis: the channel axis, counted from 0 (never the batch axis); None if there is none.
        labels: int array of shape `(shape[axis],)`; None without a channel axis.
        fixed: whether nothing of the tensor can be removed (an input of the model, the result of
            a layer that is kept whole), so that any axis of it may be read as its channels.
        constant: whether it is no tensor of the model but an array that a call is given; fixed.
    """

    shape: Shape
    axis: int | None
    labels: Any
    fixed: bool = False
    constant: bool = False

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Maker:
    """What drew a block of labels.

    Attributes:
        layer: name of the layer.
        part: which of its channels these are, where it makes several kinds ("heads"); else "".
    """

    layer: str
    part: str = ""

    def __str__(self) -> str:
        return f"{self.layer}/{self.part}" if self.part else self.layer


class ChannelSpace:
    """All labels of one model, and what is known about them."""

    def __init__(self):
        self.makers = []  # the `Maker` of each block of labels; None for fixed tensors
        self._starts = []
        self._size = 0
        self._couplings = []
        self._pins = []
        self._needs = []

    def draw(self, size, maker):
        """Fresh labels for `size` channels made by a `Maker`, or by None: a fixed tensor's."""
        self.makers.append(maker)
        self._starts.append(self._size)
        labels = np.arange(self._size, self._size + size)
        self._size += size
        return labels

    def couple(self, labels, others):
        """States that `labels[i]` and `others[i]` can only be removed together."""
        if len(labels) != len(others):
            raise ValueError(f"Cannot couple {len(labels)} channels with {len(others)}.")
        if labels is not others:
            self._couplings.append((labels, others))

    def pin(self, labels, reason):
        """States that these channels are never removed, and why."""
        self._pins.append((labels, reason))

    def need(self, labels, layer):
        """States that at least one of these channels stays, or the layer makes nothing."""
        self._needs.append((labels, layer))

    def mark(self):
        """The present state, to `rewind` to."""
        lists = self.makers, self._couplings, self._pins, self._needs
        return self._size, [len(one) for one in lists]

    def rewind(self, mark):
        """Forgets all that was drawn and stated since `mark` was taken."""
        self._size, (blocks, couplings, pins, needs) = mark
        del self.makers[blocks:], self._starts[blocks:]
        del self._couplings[couplings:], self._pins[pins:], self._needs[needs:]

    def block_of(self, labels):
        """The index, into `makers`, of the block each label was drawn in."""
        return np.searchsorted(self._starts, labels, side="right") - 1

    def units(self):
        """For every label, the smallest label it is coupled with: the unit it belongs to."""
        return _components(self._size, self._couplings)

    def blocks(self, units):
        """For every block, the smallest block that shares a unit with it, near or far."""
        everything = np.arange(self._size)
        pairs = [(self.block_of(everything), self.block_of(units))]
        return _components(len(self.makers), pairs)

    def pinned(self):
        """Pairs `(labels, reason)` in the order they were stated."""
        return list(self._pins)

    def needed(self):
        """Pairs `(labels, layer name)` in the order they were stated."""
        return list(self._needs)


def _components(size, pairs):
    """Connected components of `size` nodes, each named by its smallest member."""
    left = np.concatenate([np.zeros(0, int)] + [pair[0] for pair in pairs])
    right = np.concatenate([np.zeros(0, int)] + [pair[1] for pair in pairs])
    root = np.arange(size)
    while True:
        lowest = np.minimum(root[left], root[right])
        lowered = root.copy()
        for ends in (left, right, root[left], root[right]):
            np.minimum.at(lowered, ends, lowest)
        lowered = lowered[lowered]
        if np.array_equal(lowered, root):
            return root
        root = lowered
