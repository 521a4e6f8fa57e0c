"""The surgeon: builds the smaller model that a set of masks describes, and proves it right.

Extraction replays the model's trace with each layer made anew from its config, its channel
counts replaced by what is kept, and copies the kept slices of the weights. The result is an
ordinary functional model. It is not trained again to be right: it *equals* the masked view, and
unless told otherwise the surgeon checks that on a random batch, layer by layer.
"""

import functools
import types

import keras
import numpy as np
from keras import ops

from keras_cascade.graph.channel_graph import ChannelGraph
from keras_cascade.graph.tracing import assemble, renamed, replay, symbolic_inputs
from keras_cascade.graph.walk import call_arguments
from keras_cascade.surgery.views import FixedMasks, call_masked

TOLERANCE = 1e-5
EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


class SurgeryError(RuntimeError):
    """A layer could not be rebuilt, or the extracted model differs from the masked one."""


class Surgeon:
    """Removes channels from a model.

    Args:
        model: a built Functional or Sequential `keras.Model`; it is not changed.
        graph: its `ChannelGraph`, if there is one already.

    Attributes:
        graph: the model's `ChannelGraph`.

    Raises:
        TypeError, ValueError: as `ChannelGraph(model)`.

    Example:

    ```python
    surgeon = kc.Surgeon(model)
    group = surgeon.graph.prunable_groups[0]
    small = surgeon.extract({group.name: np.arange(group.size) % 2 == 0})
    ```
    """

    def __init__(self, model, graph=None):
        self.graph = graph or ChannelGraph(model)

    def extract(self, masks, *, stand_in=None, name=None, verify=True):
        """Builds the model that keeps only the channels the masks keep.

        Args:
            masks: dict from group name to a bool array of shape `(group.size,)`, True = keep;
                groups left out are kept whole.
            stand_in: dict from the `id` of a layer of the model to the one whose config and
                weights are taken in its place (a cascade level's own normalisation).
            name: the new model's name; default: that of the model.
            verify: whether to compare with the masked model on a random batch (default True).

        Returns:
            A functional `keras.Model` of plain Keras layers with the same input and output
            names, not compiled, that shares no layer or weight with the original.

        Raises:
            ValueError: bad masks (see `ChannelGraph.keep_vector`).
            SurgeryError: a layer cannot be made from its config, or the extracted model's
                output differs from the masked model's by more than 1e-5 * max(1, max |y|).
        """
        keep = self.graph.keep_vector(masks)
        stand_in = stand_in or {}
        remade = self._remake(keep, stand_in)

        def operation(call):
            return self._with_counts(call, remade[id(call.operation)], keep)

        inputs = symbolic_inputs(self.graph.trace)
        values = replay(self.graph.trace, inputs, operation)
        for call, flow in self.graph.first_flows():
            layer = call.operation
            source = stand_in.get(id(layer), layer)
            self._copy_weights(layer, source, remade[id(layer)], flow, keep)
        if verify:
            self._verify(remade, keep, stand_in)
        return assemble(self.graph.trace, inputs, values, name or self.graph.model.name)

    def _remake(self, keep, stand_in):
        """Each operation anew with the channel counts of `keep`, by the id of the original."""
        remade = {}
        for call in self.graph.trace.calls:
            if id(call.operation) in remade:
                continue
            flow = self.graph.flow(call)
            if call.is_layer or flow.config:
                source = stand_in.get(id(call.operation), call.operation)
                config = self._config(source, flow, keep)
                remade[id(call.operation)] = _made_anew(source, {**config, "name": call.name})
            else:
                remade[id(call.operation)] = renamed(call)
        return remade

    def _config(self, operation, flow, keep):
        """An operation's config with the channel counts of `keep`."""
        config = operation.get_config()
        if flow.weights:
            # Layers inside would be built at once, with the shapes they had.
            config = _without_build_configs(config)
        for key, value in flow.config.items():
            *path, last = key if isinstance(key, tuple) else (key,)
            functools.reduce(dict.__getitem__, path, config)[last] = self._counted(value, keep)
        return config

    def _with_counts(self, call, operation, keep):
        """What is called in the smaller model: arguments that count channels count the kept."""
        changed = self.graph.flow(call).arguments
        if not changed:
            return operation
        counts = {key: self._counted(value, keep) for key, value in changed.items()}

        def called(*args, **kwargs):
            return operation(**{**call_arguments(call.operation, args, kwargs), **counts})

        return called

    def _counted(self, structure, keep):
        """A structure with the number of kept channels in the place of labels."""
        if isinstance(structure, np.ndarray):
            return int(self._kept(structure, keep).sum())
        if isinstance(structure, slice):
            ends = structure.start, structure.stop, structure.step
            return slice(*(self._counted(end, keep) for end in ends))
        if isinstance(structure, list | tuple):
            return type(structure)(self._counted(entry, keep) for entry in structure)
        return structure

    def _copy_weights(self, layer, source, target, flow, keep):
        axes_of = {id(variable): axes for variable, axes in flow.weights}
        arrays = []
        for variable, value in zip(layer.weights, source.weights, strict=True):
            array = ops.convert_to_numpy(value)
            for axis, labels in axes_of.get(id(variable), {}).items():
                array = np.compress(self._kept(labels, keep), array, axis=axis)
            arrays.append(array)
        if len(arrays) != len(target.weights):
            raise SurgeryError(
                f"Layer '{layer.name}' ({type(layer).__name__}) made from its config has "
                f"{len(target.weights)} weights, the original has {len(arrays)}. Its get_config() "
                "must describe all that it builds."
            )
        target.set_weights(arrays)
        if hasattr(target, "finalize_state"):  # Normalization keeps tensors derived from weights
            target.finalize_state()

    def _kept(self, labels, keep):
        return keep[self.graph.units_at(labels)]

    def _verify(self, remade, keep, stand_in):
        """Runs masked and remade layers side by side; both values go by the traced tensor."""
        traced = self.graph.trace
        inputs = [_random_batch(tensor) for tensor in traced.inputs]

        gates = FixedMasks(self.graph, keep)

        def gate(call, tensor, value):
            channels = self.graph.gated(call).get(tensor)
            if channels is None:
                return value
            return gates.place(self.graph.units_at(channels.labels), channels.axis)(value)

        def mask_of(labels):
            return gates.vector(self.graph.units_at(labels))

        def whole(call):
            operation = stand_in.get(id(call.operation), call.operation)
            if not self.graph.mixes_inside(call):
                return _inference(call, operation)
            flow = self.graph.flow(call)
            return _inference(call, lambda *a, **k: call_masked(operation, flow, mask_of, *a, **k))

        def smaller(call):
            operation = _inference(call, remade[id(call.operation)])
            return self._with_counts(call, operation, keep)

        masked = replay(traced, inputs, whole, gate)
        cut = replay(traced, inputs, smaller)
        tolerance = _tolerance(traced)
        if all(_equal(masked[end], cut[end], tolerance)[0] for end in traced.outputs):
            return
        for call in traced.calls:
            for tensor in call.outputs:
                self._check_tensor(call, tensor, masked[tensor], cut[tensor], keep, tolerance)

    def _check_tensor(self, call, tensor, expected, got, keep, tolerance):
        expected, channels = ops.convert_to_numpy(expected), self.graph.channels[tensor]
        if channels is not None:
            expected = np.compress(self._kept(channels.labels, keep), expected, axis=channels.axis)
        same, message = _equal(expected, got, tolerance)
        if not same:
            raise SurgeryError(
                f"The extracted model differs from the masked model, first at layer "
                f"'{call.name}' ({type(call.operation).__name__}): {message}. If a rule of your "
                "own covers this layer, it states the layer's channels wrongly."
            )


def copy_model(model):
    """A model equal to `model` that shares no layer or weight with it.

    Unlike `keras.models.clone_model` and `set_weights`, it carries over what layers derive from
    their weights (the statistics of an adapted Normalization).

    Args:
        model: a built Functional or Sequential `keras.Model`.

    Returns:
        A functional `keras.Model`, nested models dissolved, not compiled.

    Raises:
        TypeError, ValueError: as `ChannelGraph(model)`.
        SurgeryError: a layer cannot be made from its config.
    """
    return Surgeon(model).extract({}, verify=False)


def _inference(call, operation):
    """What a call runs in verification: in inference mode even where the model fixes training."""
    if "training" not in call.kwargs:
        return operation
    return lambda *args, **kwargs: operation(*args, **{**kwargs, "training": False})


def _tolerance(traced):
    """Relative to float32's; layers that compute in half precision round more coarsely."""
    dtypes = {getattr(layer, "compute_dtype", None) for layer in traced.layers.values()}
    return max([TOLERANCE, *(8 * EPSILON[dtype] for dtype in dtypes & set(EPSILON))])


def _without_build_configs(config):
    if not isinstance(config, dict):
        return config
    return {
        key: _without_build_configs(value) for key, value in config.items() if key != "build_config"
    }


def _made_anew(operation, config):
    config = {**config, **_users_functions(operation, config)}
    try:
        if isinstance(operation, keras.layers.Lambda):  # its from_config takes no function
            return type(operation)(**config)
        return type(operation).from_config(config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise SurgeryError(
            f"Layer '{config['name']}' ({type(operation).__name__}) cannot be made anew from its "
            f"config: {error}. Give it a get_config() that from_config() accepts."
        ) from error


def _users_functions(operation, config):
    """Functions of the user's that a config names, at best, but does not hold; by config key."""
    if isinstance(operation, keras.layers.Lambda):
        return {
            "function": operation.function,
            "output_shape": operation._output_shape,
            "mask": operation.mask,
            "arguments": dict(operation.arguments),
        }
    live = {key: getattr(operation, key, None) for key in config}
    return {
        key: value
        for key, value in live.items()
        if isinstance(value, types.FunctionType) and not value.__module__.startswith("keras.")
    }


def _random_batch(tensor, examples=2, open_size=64):
    """A batch for a traced input; unknown dimensions become `open_size`."""
    shape = [tensor.shape[0] or examples] + [size or open_size for size in tensor.shape[1:]]
    random = np.random.default_rng(0)
    if keras.backend.is_float_dtype(tensor.dtype):
        return ops.convert_to_tensor(random.standard_normal(shape), dtype=tensor.dtype)
    return ops.convert_to_tensor(random.integers(0, 2, shape), dtype=tensor.dtype)


def _equal(expected, got, tolerance):
    expected = np.asarray(ops.convert_to_numpy(expected), "float64")
    got = np.asarray(ops.convert_to_numpy(got), "float64")
    if expected.shape != got.shape:
        return False, f"shape {got.shape} instead of {expected.shape}"
    same = (expected == got) | (np.isnan(expected) & np.isnan(got))  # infinities, NaN in both
    difference = np.max(np.abs(np.where(same, 0.0, expected - got)), initial=0.0)
    finite = expected[np.isfinite(expected)]
    limit = tolerance * max(1.0, float(np.max(np.abs(finite), initial=0.0)))
    return difference <= limit, f"max |difference| {difference:.3g}, allowed {limit:.3g}"
