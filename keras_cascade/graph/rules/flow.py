"""What a layer rule says of one call, as plain data.

Which channels come out, which axis of which weight belongs to which channels, where channels are
mixed (and a gate must stand), which entries of the layer's config are channel counts, and what the
call costs. Tracing, counting, cutting and gating all read the same `Flow`, so a rule states its
layer family's idea once.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from keras_cascade.graph.channels import Channels
from keras_cascade.typing import Ints


class KeepWhole(Exception):
    """Raised by a rule: the call is not cut, and the message says why."""


@dataclasses.dataclass
class Flow:
    """What a rule says of one call.

    Attributes:
        outputs: list of `Channels`, one for each output tensor.
        weights: list of `(variable, {axis: labels})`: which axes of the layer's weights run over
            which channels.
        reads: indices of the inputs whose channels the call mixes (a contraction); those are
            where a removed channel must be gated to zero.
        rows: list of `(variable, axis, labels)`: the weights that what `reads` names is multiplied
            with, where zeroing their rows is the same as zeroing the channel that is read. A gate
            may stand there instead, which is cheaper wherever a kernel has fewer entries than a
            batch of what it reads.
        inner_reads: list of `(variable, axis, labels)`: weights by which the layer mixes channels
            that never leave it (the heads of an attention, the state of an LSTM). Zeroing those
            rows is the same as zeroing the channel where it is read.
        masked_call: for a layer whose result depends on the number of channels, a function
            `(layer, mask_of, *args, **kwargs)` that computes what the layer would give without
            the removed channels; `mask_of(labels)` is a float32 vector of 1 (kept) and 0. What
            it gives at removed channels does not matter. Else None.
        config: dict from a key of `layer.get_config()` to what takes its place: `labels`, which
            stand for the number of them that are kept, alone or inside a list or tuple. For an
            entry further down, the key is a tuple of keys. Such as `{"filters": labels}`.
        arguments: dict from the name of a call argument to what takes its place, as for `config`.
        macs: list of `(coefficient, [labels, ...])`; the call costs, for one example, the sum of
            coefficient times the number of kept channels of each entry. None if not known.
    """

    outputs: list[Channels]
    weights: list[tuple[keras.Variable, dict[int, Ints]]] = dataclasses.field(default_factory=list)
    reads: tuple[int, ...] = ()
    rows: list[tuple[keras.Variable, int, Ints]] = dataclasses.field(default_factory=list)
    inner_reads: list[tuple[keras.Variable, int, Ints]] = dataclasses.field(default_factory=list)
    masked_call: Callable[..., Any] | None = None
    config: dict[str | tuple[str, ...], Any] = dataclasses.field(default_factory=dict)
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    macs: list[tuple[float, list[Ints]]] | None = dataclasses.field(default_factory=list)
