"""Views: models that share every weight with a traced model and see it through gates.

A removed channel is zeroed where it is *consumed* (before the convolution or Dense that reads
it), not where it is made: a BatchNormalization with beta != 0 in between would turn the zero into
a constant. A view is built by replaying the trace with a gate before every such read, and, where
asked, with some layers replaced by stand-ins.
"""

import inspect
import itertools
import math

import keras
from keras import ops
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask
from keras.src.backend.common.variables import AutocastScope

from keras_cascade.graph.channel_graph import ChannelGraph
from keras_cascade.graph.tracing import assemble, free_name, renamed, replay, symbolic_inputs
from keras_cascade.typing import Masks

# A batch of about so many examples is what a weight's size is compared with.
_EXAMPLES = 32


@keras.saving.register_keras_serializable(package="keras_cascade")
class ChannelMask(keras.layers.Layer):
    """Multiplies the channels of a tensor by a fixed mask.

    Args:
        mask: list of 0 and 1, one for each channel.
        axis: the channel axis, counted from 0.
    """

    def __init__(self, mask, axis, **kwargs):
        # A mask leaves the values in the precision they have.
        super().__init__(autocast=False, **kwargs)
        self.mask = [int(value) for value in mask]
        self.axis = axis
        self.supports_masking = True

    def call(self, inputs):
        mask = ops.convert_to_tensor(self.mask, dtype=inputs.dtype)
        return inputs * along_axis(mask, self.axis, len(inputs.shape))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "mask": self.mask, "axis": self.axis}


class MaskedCall(keras.layers.Layer):
    """Calls a layer, computed otherwise: as if some of its channels were removed.

    Args:
        layer: the layer; its weights are shared.
        compute: function `(layer, *args, **kwargs)`: what the call gives.
    """

    def __init__(self, layer, compute, **kwargs):
        super().__init__(dtype=layer.dtype_policy, **kwargs)
        self.layer = layer
        self.supports_masking = True
        self._compute = compute
        self.built = True

    def call(self, *args, training=None, **kwargs):
        if "training" in inspect.signature(self.layer.call).parameters:
            kwargs["training"] = training
        return self._compute(self.layer, *args, **kwargs)

    def compute_output_spec(self, *args, **kwargs):
        return self.layer.compute_output_spec(*args, **kwargs)

    def compute_mask(self, inputs, previous_mask):
        return None  # what is called inside has marked its outputs itself

    def get_config(self):
        raise NotImplementedError(
            f"A view that masks channels inside '{self.layer.name}' cannot be saved. Extract the "
            "smaller model and save that."
        )


def masked_computation(graph, call, mask_of, rows=()):
    """What a call that mixes channels inside gives without those that are removed.

    Args:
        graph: `ChannelGraph`.
        call: a `Call` of its trace.
        mask_of: function from labels to a float32 vector, 1 = kept, 0 = removed.
        rows: rows of weights to mask besides, as in `Flow.rows`.

    Returns:
        A function `(layer, *args, **kwargs)`, where `layer` is the call's own or one that stands
        in for it. What its result has at removed channels has no meaning.
    """
    flow = graph.flow(call)

    def compute_anew(layer, inputs, **kwargs):
        outputs = flow.masked_call(layer, mask_of, inputs, **kwargs)
        _regularise_activity(layer, outputs, flow.outputs[0], mask_of)
        if get_keras_mask(inputs) is not None:
            set_keras_mask(outputs, get_keras_mask(inputs))
        return outputs

    def compute(layer, *args, **kwargs):
        twin = dict(zip(map(id, call.operation.weights), layer.weights, strict=True))
        masked = [*flow.inner_reads, *rows]
        reads = [(twin[id(v)], axis, mask_of(labels)) for v, axis, labels in masked]
        return _with_rows_masked(layer, reads, *args, **kwargs)

    return compute if flow.masked_call is None else compute_anew


def _regularise_activity(layer, outputs, channels, mask_of):
    """Adds, for what is kept of outputs, the loss that a call of the layer itself would add."""
    if layer.activity_regularizer is None:
        return
    mask = ops.cast(mask_of(channels.labels), outputs.dtype)
    kept = outputs * along_axis(mask, channels.axis, len(outputs.shape))
    stand_in = keras.layers.Identity(
        activity_regularizer=layer.activity_regularizer, dtype=layer.dtype_policy
    )
    for loss in call_with(stand_in, [], kept)[2]:
        layer.add_loss(loss)


def _with_rows_masked(layer, reads, *args, **kwargs):
    """Calls a layer with slices of some weights times a mask: `(variable, axis, mask)` each."""
    values = dict(zip(map(id, layer.variables), full_values(layer.variables), strict=True))
    for variable, axis, mask in reads:
        value = values[id(variable)]
        rank = len(value.shape)
        values[id(variable)] = value * along_axis(ops.cast(mask, value.dtype), axis % rank, rank)
    given = [values[id(variable)] for variable in layer.variables]
    outputs, written, losses = call_with(layer, given, *args, **kwargs)
    for loss in losses:
        layer.add_loss(loss)
    for index, value in written.items():  # the state of a random generator
        layer.variables[index].assign(value)
    return outputs


def full_values(variables):
    """The values of variables as tensors, not rounded to the precision their layer computes in."""
    with AutocastScope(None):
        return [ops.convert_to_tensor(variable) for variable in variables]


def call_with(layer, values, *args, **kwargs):
    """Calls a layer with other values than its variables have, which stay as they are.

    Args:
        layer: a built `keras.layers.Layer`.
        values: list of tensors, one for each of `layer.variables`.
        *args, **kwargs: of the call.

    Returns:
        The outputs; dict from the place of a variable that the call wrote to, to its new value;
        list of the losses that it added.
    """
    mapping = list(zip(layer.variables, values, strict=True))
    with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
        before = [scope.get_current_value(variable) for variable in layer.variables]
        outputs = layer(*args, **kwargs)
    after = [scope.get_current_value(variable) for variable in layer.variables]
    pairs = enumerate(zip(before, after, strict=True))
    return outputs, {index: new for index, (old, new) in pairs if new is not old}, scope.losses


def masked_view(model: keras.Model, masks: Masks) -> keras.Model:
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
    return build_view(graph, FixedMasks(graph, keep), name=f"{model.name}_masked")


class FixedMasks:
    """The gates of a view whose masks do not change.

    Args:
        graph: `ChannelGraph`.
        keep: bool array of shape `(units,)`.
    """

    def __init__(self, graph, keep):
        self._graph, self._keep = graph, keep
        self._numbers = itertools.count()

    def place(self, units, axis):
        """A layer that masks one tensor, whose channels along `axis` are these units."""
        name = self._graph.trace.free_name(f"channel_mask_{next(self._numbers)}")
        return ChannelMask(self._keep[units], axis, name=name)

    def vector(self, units):
        """The mask of these units: float32 vector, 1 = kept."""
        return ops.convert_to_tensor(self._keep[units], dtype="float32")


def build_view(graph, gates=None, stand_in=None, name=None, gate_weights=False):
    """Replays a model's trace on its own layers, with gates where channels are read.

    Args:
        graph: the model's `ChannelGraph`.
        gates: what makes the gates, with the methods `place(units, axis)`, which returns what is
            called on a tensor before it is read, once for each tensor, and `vector(units)`, the
            gates as a float32 vector for layers that mix channels inside. None: no gates.
        stand_in: dict from the `id` of a layer to the one called in its place.
        name: the view's name.
        gate_weights: whether gates may stand on the rows of a weight instead of the tensor it is
            multiplied with, where that is cheaper. It costs less memory and time in training; such
            a view cannot be saved.

    Returns:
        A functional `keras.Model`.
    """
    gated_tensors, layers = {}, dict(stand_in or {})

    def read(call, tensor, value):
        channels = graph.gated(call).get(tensor)
        if channels is None or rows_of(call):
            return value
        if tensor not in gated_tensors:
            units = graph.units_at(channels.labels)
            gated_tensors[tensor] = gates.place(units, channels.axis)(value)
        return gated_tensors[tensor]

    def rows_of(call):
        return _cheaper_rows(graph, call) if gate_weights else []

    def mask_of(labels):
        return gates.vector(graph.units_at(labels))

    def operation(call):
        layer = layers.setdefault(id(call.operation), renamed(call))
        rows = rows_of(call)
        if gates is None or not (rows or graph.mixes_inside(call)):
            return layer
        # A shared layer's calls differ in how they mix: over tensors of other ranks, say.
        name = free_name(graph.trace.free_name(f"{call.name}_masked"), masked_names)
        masked_names.add(name)
        return MaskedCall(layer, masked_computation(graph, call, mask_of, rows), name=name)

    masked_names = set()
    inputs = symbolic_inputs(graph.trace)
    values = replay(graph.trace, inputs, operation, read if gates is not None else None)
    return assemble(graph.trace, inputs, values, name or graph.model.name)


def _cheaper_rows(graph, call):
    """The `Flow.rows` of a call; none where gates on the tensors it reads have fewer entries."""
    rows, gated = graph.flow(call).rows, graph.gated(call)
    in_weights = sum(math.prod(variable.shape) for variable, _, _ in rows)
    in_tensors = sum(math.prod(size or 1 for size in tensor.shape) for tensor in gated)
    return rows if in_weights <= _EXAMPLES * in_tensors else []


def along_axis(vector, axis, rank):
    """Reshapes a vector so that it broadcasts along one axis of a tensor of that rank."""
    return ops.reshape(vector, [-1 if position == axis else 1 for position in range(rank)])
