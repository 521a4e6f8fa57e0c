"""Views: models that share every weight with a traced model and see it through gates.

A removed channel is zeroed where it is *consumed* (before the convolution or Dense that reads
it), not where it is made: a BatchNormalization with beta != 0 in between would turn the zero into
a constant. A view is built by replaying the trace with a gate before every such read, and, where
asked, with some layers replaced by stand-ins.
"""

import itertools

import keras
from keras import ops

from keras_cascade.graph.channel_graph import ChannelGraph
from keras_cascade.graph.tracing import assemble, renamed, replay, symbolic_inputs


@keras.saving.register_keras_serializable(package="keras_cascade")
class ChannelMask(keras.layers.Layer):
    """Multiplies the channels of a tensor by a fixed mask.

    Args:
        mask: list of 0 and 1, one for each channel.
        axis: the channel axis, counted from 0.
    """

    def __init__(self, mask, axis, **kwargs):
        super().__init__(**kwargs)
        self.mask = [int(value) for value in mask]
        self.axis = axis

    def call(self, inputs):
        mask = ops.convert_to_tensor(self.mask, dtype=inputs.dtype)
        return inputs * along_axis(mask, self.axis, len(inputs.shape))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "mask": self.mask, "axis": self.axis}


def masked_view(model, masks):
    """A model that shares the original's weights and computes as if channels were removed.

    What it returns in inference mode is what `Surgeon(model).extract(masks)` returns. Training
    either trains both.

    Args:
        model: a built Functional or Sequential `keras.Model`.
        masks: dict from group name to a bool array of shape `(group.size,)`, True = keep;
            groups left out are kept whole.

    Returns:
        A functional `keras.Model` with the same inputs and outputs.

    Raises:
        TypeError, ValueError: as `ChannelGraph(model)`, and for bad masks.

    Example:

    ```python
    masks = {"conv1": np.arange(64) % 2 == 0}
    half = kc.masked_view(model, masks)
    ```
    """
    graph = ChannelGraph(model)
    keep = graph.keep_vector(masks)
    numbers = itertools.count()

    def gate(channels):
        mask = keep[graph.units_at(channels.labels)]
        name = graph.trace.free_name(f"channel_mask_{next(numbers)}")
        return ChannelMask(mask, channels.axis, name=name)

    return build_view(
        graph,
        gate,
        name=f"{model.name}_masked",
    )


def build_view(graph, make_gate=None, stand_in=None, name=None):
    """Replays a model's trace on its own layers, with gates where channels are read.

    Args:
        graph: the model's `ChannelGraph`.
        make_gate: function from the `Channels` of a tensor to what is called on it before it is
            read; called once for each tensor. None: no gates.
        stand_in: dict from the `id` of a layer to the one called in its place.
        name: the view's name.

    Returns:
        A functional `keras.Model`.
    """
    gated_tensors = {}

    def read(call, tensor, value):
        channels = graph.gated(call).get(tensor)
        if channels is None:
            return value
        if tensor not in gated_tensors:
            gated_tensors[tensor] = make_gate(channels)(value)
        return gated_tensors[tensor]

    stand_ins, aliases = stand_in or {}, {}

    def operation(call):
        if id(call.operation) in stand_ins:
            return stand_ins[id(call.operation)]
        return aliases.setdefault(id(call.operation), renamed(call))

    inputs = symbolic_inputs(graph.trace)
    values = replay(
        graph.trace,
        inputs,
        operation=operation,
        read=read if make_gate else None,
    )
    return assemble(graph.trace, inputs, values, name or graph.model.name)


def along_axis(vector, axis, rank):
    """Reshapes a vector so that it broadcasts along one axis of a tensor of that rank."""
    return ops.reshape(vector, [-1 if position == axis else 1 for position in range(rank)])
