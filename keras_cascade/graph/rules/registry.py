"""The registry of layer rules: how each layer family carries channels.

A *rule* is a function from one call of a layer to a `Flow`: plain data that says which channels
come out, which axis of which weight belongs to which channels, where channels are mixed (and a
gate must stand), which entries of the layer's config are channel counts, and what the call costs.
Tracing, counting, cutting and gating all read the same `Flow`, so a rule states its layer
family's idea once. Rules are looked up by exact type: a subclass may compute something else.
"""

import dataclasses

import numpy as np

from keras_cascade.graph.channels import Channels


@dataclasses.dataclass
class Flow:
    """What a rule says of one call.

    Attributes:
        outputs: list of `Channels`, one for each output tensor.
        weights: list of `(variable, {axis: labels})`: which axes of the layer's weights run over
            which channels.
        reads: indices of the inputs whose channels the call mixes (a contraction); those are
            where a removed channel must be gated to zero.
        config: dict from a key of `layer.get_config()` to the labels it counts, such as
            `{"filters": labels}`.
        macs: list of `(coefficient, [labels, ...])`; the call costs, for one example, the sum of
            coefficient times the number of kept channels of each entry. None if not known.
    """

    outputs: list
    weights: list = dataclasses.field(default_factory=list)
    reads: tuple = ()
    config: dict = dataclasses.field(default_factory=dict)
    macs: list | None = dataclasses.field(default_factory=list)


class CallContext:
    """What a rule may do while it looks at one call.

    Attributes:
        name: the layer's name.
        output_shapes: the shapes of the call's outputs.
    """

    def __init__(self, name, output_shapes, space):
        self.name = name
        self.output_shapes = output_shapes
        self._space = space

    def draw(self, size):
        """Labels for `size` channels that this layer makes; returns an int array."""
        return self._space.draw(size, self.name)

    def couple(self, labels, others):
        """States that `labels[i]` and `others[i]` can only be removed together."""
        self._space.couple(labels, others)

    def pin(self, labels, reason):
        """States that these channels are kept whole, and why."""
        self._space.pin(labels, f"{self.name}: {reason}")

    def output(self, labels, axis=-1, index=0):
        """The `Channels` of output number `index`, with `labels` along `axis`."""
        shape = self.output_shapes[index]
        return Channels(shape, axis % len(shape), labels)

    def same(self, channels, index=0):
        """`channels` handed on unchanged to output number `index`, on the same axis."""
        return Channels(self.output_shapes[index], channels.axis, channels.labels)

    def keep_whole(self, inputs, reason, axis=-1):
        """The `Flow` of a call that is not cut: everything it touches is kept whole.

        Args:
            inputs: list of `Channels` (None for a tensor without channels).
            reason: why, in a few words; shown in the graph's summary.
            axis: the channel axis of the outputs.

        Returns:
            A `Flow` whose MACs are unknown.
        """
        for channels in inputs:
            if channels is not None:
                self.pin(channels.labels, reason)
        outputs = []
        for index, shape in enumerate(self.output_shapes):
            if len(shape) < 2 or shape[axis] is None:
                outputs.append(None)
                continue
            labels = self.draw(shape[axis])
            self.pin(labels, reason)
            outputs.append(self.output(labels, axis, index))
        return Flow(outputs, reads=tuple(range(len(inputs))), macs=None)


_RULES = {}


def register_rule(*layer_types):
    """Decorator that makes a function the rule of one or more layer types.

    Args:
        *layer_types: classes of layers (or of `keras.Operation`s); matched exactly, not their
            subclasses.

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
        (x,) = inputs
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
            _RULES[layer_type] = rule
        return rule

    return register


def flow_of(operation, inputs, context):
    """The `Flow` of one call, by the rule of the operation's type.

    Args:
        operation: the `keras.Operation` called.
        inputs: list of `Channels`, None where a tensor has no channel axis of known size.
        context: the call's `CallContext`.

    Returns:
        A `Flow`. An operation without a rule, with inputs that no rule can follow, or with
        weights that are not the layer's plain ones (LoRA, quantisation) is kept whole.
    """
    kind = type(operation).__name__
    rule = _RULES.get(type(operation))
    if rule is None:
        return context.keep_whole(inputs, f"no rule for {kind}")
    if any(channels is None for channels in inputs):
        return context.keep_whole(inputs, f"{kind} on a tensor without a fixed channel axis")
    flow = rule(operation, inputs, context)
    plain = {id(variable) for variable in getattr(operation, "weights", ())}
    if any(id(variable) not in plain for variable, _ in flow.weights):
        return context.keep_whole(inputs, f"{kind} with LoRA or quantised weights")
    return flow


def spatial_size(shape, channel_axis):
    """Number of positions in a tensor besides batch and channels; None if not fixed."""
    sizes = [size for axis, size in enumerate(shape) if axis not in (0, channel_axis)]
    return None if None in sizes else int(np.prod(sizes))


def channel_axis(layer, rank):
    """The channel axis of a layer's tensors, from its `data_format`."""
    return 1 if layer.data_format == "channels_first" else rank - 1
