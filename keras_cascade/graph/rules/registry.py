"""The registry of layer rules: how each layer family carries channels.

A *rule* is a function from one call of a layer to its `Flow`. Rules are looked up by exact type: a
subclass may compute something else.

A rule that meets a call it cannot describe raises `KeepWhole` with the reason; the call, and what
it touches, is then not cut.
"""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import keras
from keras import tree

from keras_cascade.graph.channels import Channels, ChannelSpace, Maker
from keras_cascade.graph.rules.axes import channel_axis
from keras_cascade.graph.rules.flow import Flow, KeepWhole
from keras_cascade.typing import Ints, Shape

# A rule, from a layer, its inputs and a `CallContext` to a `Flow`; decorated, it stays as it is.
_Function = TypeVar("_Function", bound=Callable[[Any, list[Channels], Any], Flow])


class CallContext:
    """What a rule may do while it looks at one call.

    Attributes:
        name: the layer's name.
        kind: the name of its class, for messages.
        arguments: dict from the names of the call's arguments to their values, `Channels` in
            the place of tensors.
        output_shapes: the shapes of the call's outputs.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        arguments: dict[str, Any],
        output_shapes: list[Shape],
        space: ChannelSpace,
    ) -> None:
        self.name, self.kind = name, kind
        self.arguments, self.output_shapes = arguments, output_shapes
        self._space = space
        self.mark, self.rewind = space.mark, space.rewind

    def draw(self, size: int, part: str = "") -> Ints:
        """Labels for `size` channels that this layer makes; returns an int array.

        Args:
            size: int.
            part: names them where the layer makes channels of several kinds ("heads").
        """
        return self._space.draw(size, Maker(self.name, part))

    def couple(self, labels: Ints, others: Ints) -> None:
        """States that `labels[i]` and `others[i]` can only be removed together."""
        self._space.couple(labels, others)

    def couple_groups(self, labels: Ints, groups: int) -> Ints:
        """Couples channels so that every one of `groups` equal parts is cut alike.

        Returns:
            The labels of the first part.
        """
        places = labels.reshape(groups, -1)
        for place in places[1:]:
            self.couple(places[0], place)
        return places[0]

    def pin(self, labels: Ints, reason: str) -> None:
        """States that these channels are kept whole, and why."""
        self._space.pin(labels, f"{self.name}: {reason}")

    def need(self, labels: Ints) -> None:
        """States that at least one of these channels stays."""
        self._space.need(labels, self.name)

    def along(self, channels: Channels, axis: int = -1) -> Channels:
        """An input's channels along the axis on which the layer takes them.

        Args:
            channels: `Channels` of an input.
            axis: int, may be negative.

        Returns:
            `Channels` with that axis. A fixed tensor has channels, all kept, along any axis.

        Raises:
            KeepWhole: the channels run along another axis, or their number is not known.
        """
        rank = len(channels.shape)
        axis %= rank
        if channels.axis == axis:
            return channels
        if not channels.fixed:
            raise KeepWhole(f"{self.kind} along an axis that is not its input's channels'")
        if axis == 0 or channels.shape[axis] is None:
            raise KeepWhole(f"{self.kind} on a tensor without a fixed channel axis")
        labels = self._space.draw(channels.shape[axis], None)
        reason = "reads a tensor that is kept whole"
        self.pin(labels, "a constant for each channel" if channels.constant else reason)
        return dataclasses.replace(channels, axis=axis, labels=labels)

    def output(self, labels: Ints, axis: int = -1, index: int = 0) -> Channels:
        """The `Channels` of output number `index`, with `labels` along `axis`."""
        shape = self.output_shapes[index]
        return Channels(shape, axis % len(shape), labels)

    def same(self, channels: Channels, index: int = 0) -> Channels:
        """`channels` handed on unchanged to output number `index`, on the same axis."""
        return dataclasses.replace(channels, shape=self.output_shapes[index])

    def fixed(self, index: int = 0) -> Channels:
        """The `Channels` of output number `index` of which nothing can be removed."""
        return Channels(self.output_shapes[index], None, None, fixed=True)

    def inner(
        self, layer: keras.Layer, inputs: list[Channels], output_shapes: list[Shape], part: str
    ) -> Flow:
        """The `Flow` of a layer inside this one, as if it were called itself.

        Args:
            layer: the inner `keras.layers.Layer`.
            inputs: list of `Channels`.
            output_shapes: the shapes of its outputs.
            part: names the channels that it makes among those of this layer.

        Raises:
            KeepWhole: there is no rule for the inner layer, or the rule says so.
        """
        if type(layer) not in _RULES:
            raise KeepWhole(f"{self.kind} of {type(layer).__name__}, which has no rule")
        rule = _RULES[type(layer)]
        arguments = dict(zip(rule.arguments, inputs, strict=False))  # optional ones are left out
        context = _InnerContext(self, type(layer).__name__, arguments, output_shapes, part)
        return rule.function(layer, inputs, context)

    def keep_whole(self, inputs: list[Channels], reason: str, axis: int = -1) -> Flow:
        """The `Flow` of a call that is not cut: everything it touches is kept whole.

        Args:
            inputs: list of `Channels`.
            reason: why, in a few words; shown in the graph's summary.
            axis: the channel axis of the outputs.

        Returns:
            A `Flow` whose MACs are unknown.
        """
        self.pin_all(inputs, reason)
        outputs = []
        for index, shape in enumerate(self.output_shapes):
            if len(shape) < 2 or shape[axis] is None:
                outputs.append(self.fixed(index))
                continue
            labels = self.draw(shape[axis], part=f"output_{index}" if index else "")
            self.pin(labels, reason)
            outputs.append(Channels(shape, axis % len(shape), labels, fixed=True))
        return Flow(outputs, macs=None)

    def pin_all(self, inputs: list[Channels], reason: str) -> None:
        """States that all channels of some tensors are kept whole, and why."""
        for channels in inputs:
            if channels.labels is not None:
                self.pin(channels.labels, reason)

    def with_fixed_inputs(self) -> "CallContext":
        """The same call, of whose inputs nothing can be removed."""

        def fix(leaf):
            fixed = {"axis": None, "labels": None, "fixed": True}
            return dataclasses.replace(leaf, **fixed) if isinstance(leaf, Channels) else leaf

        arguments = tree.map_structure(fix, self.arguments)
        return CallContext(self.name, self.kind, arguments, self.output_shapes, self._space)


class _InnerContext(CallContext):
    """The context of a layer inside another; what it makes bears the outer layer's name."""

    def __init__(self, outer, kind, arguments, output_shapes, part):
        super().__init__(outer.name, kind, arguments, output_shapes, outer._space)
        self._part = part

    def draw(self, size: int, part: str = "") -> Ints:
        return super().draw(size, "_".join(filter(None, (self._part, part))))


@dataclasses.dataclass(frozen=True)
class _Rule:
    function: Callable
    arguments: tuple


_RULES = {}


def register_rule(
    *layer_types: type, arguments: Sequence[str] | None = None
) -> Callable[[_Function], _Function]:
    """Decorator that makes a function the rule of one or more layer types.

    Args:
        *layer_types: classes of layers (or of `keras.Operation`s); matched exactly, not their
            subclasses.
        arguments: names of the arguments of `call` whose tensors the rule gets; default: the
            first. Constants among them are fixed tensors to it. A call that has a tensor in any
            other argument is kept whole, masks without channels excepted.

    Returns:
        The decorator. The rule is a function `(layer, inputs, call) -> Flow`, where `inputs` is
        a list of `Channels`, one for each input tensor, and `call` a `CallContext`.

    Raises:
        TypeError: an argument is not a class.

    Example:

    ```python
    class ChannelScale(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

        def call(self, x):
            return x * self.scale

    @kc.register_rule(ChannelScale)
    def channel_scale(layer, inputs, call):
        x = call.along(inputs[0], -1)
        return kc.Flow([call.same(x)], weights=[(layer.scale, {0: x.labels})])
    ```
    """
    for layer_type in layer_types:
        if not isinstance(layer_type, type):
            raise TypeError(
                f"register_rule takes layer classes, got {layer_type!r}. "
                "Write @register_rule(MyLayer)."
            )

    def register(rule):
        for layer_type in layer_types:
            names = arguments or tuple(inspect.signature(layer_type.call).parameters)[1:2]
            _RULES[layer_type] = _Rule(rule, tuple(names))
        return rule

    return register


def rule_arguments(operation):
    """Names of the arguments whose tensors an operation's rule is given; none without a rule."""
    rule = _RULES.get(type(operation))
    return () if rule is None else rule.arguments


def rule_inputs(operation, arguments):
    """The tensors, constants included, that an operation's rule is given.

    Args:
        operation: the `keras.Operation` called.
        arguments: dict from argument name to structure.

    Returns:
        List of leaves in the order the rule wants them.
    """
    return [leaf for name in rule_arguments(operation) for leaf in tensors_in(arguments.get(name))]


def tensors_in(structure):
    """The leaves of a structure that are tensors, or stand for one, or are arrays."""
    return [leaf for leaf in tree.flatten(structure) if hasattr(leaf, "shape")]


def flow_of(operation, context):
    """The `Flow` of one call, by the rule of the operation's type.

    Args:
        operation: the `keras.Operation` called.
        context: the call's `CallContext`.

    Returns:
        A `Flow`. An operation without a rule, with arguments that no rule can follow, or with
        weights that are not the layer's plain ones (LoRA, quantisation) is kept whole.
    """
    everything = _channels_in(context.arguments)
    if type(operation) not in _RULES:
        return context.keep_whole(everything, f"no rule for {context.kind}")
    mark = context.mark()
    try:
        return _flow_by_rule(operation, context)
    except KeepWhole as cause:
        reason = str(cause)
    # With nothing of the inputs to be removed, the layer's own channels may still be.
    context.rewind(mark)
    context.pin_all(everything, reason)
    mark = context.mark()
    try:
        return _flow_by_rule(operation, context.with_fixed_inputs())
    except KeepWhole as cause:
        context.rewind(mark)
        rank = max((len(shape) for shape in context.output_shapes), default=0)
        axis = channel_axis(operation, rank) if hasattr(operation, "data_format") else -1
        return context.keep_whole(everything, str(cause), axis)


def _flow_by_rule(operation, context):
    kind = context.kind
    rule = _RULES[type(operation)]
    _check_plain(operation, kind)
    for name, value in context.arguments.items():
        if name in rule.arguments:
            continue
        if not name.endswith("mask") and _unfollowed(operation, value):
            raise KeepWhole(f"{kind} called with a tensor as {name}")
        if any(not channels.fixed for channels in _channels_in(value)):
            raise KeepWhole(f"{kind} called with a {name} that has channels")
    return rule.function(operation, rule_inputs(operation, context.arguments), context)


def _unfollowed(operation, value):
    """Whether an argument has tensors; what an op node does with arrays, its rule knows."""
    arrays = isinstance(operation, keras.layers.Layer)
    return any(
        isinstance(leaf, Channels) or (arrays and len(leaf.shape)) for leaf in tensors_in(value)
    )


def _check_plain(operation, kind):
    """Refuses layers whose weights Keras has changed: rules know the plain ones."""
    inside = getattr(operation, "_flatten_layers", list)()
    if any(
        getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None)
        for layer in inside
    ):
        raise KeepWhole(f"{kind} with LoRA or quantised weights")


def _channels_in(structure):
    return [leaf for leaf in tree.flatten(structure) if isinstance(leaf, Channels)]


def known(module, names):
    """What has those names (a string, space between) in a module of the installed Keras.

    Args:
        module: module that has them, such as `keras.layers`.
        names: string.

    Returns:
        List of classes or functions.
    """
    return [getattr(module, name) for name in names.split() if hasattr(module, name)]
