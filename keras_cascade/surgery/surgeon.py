"""The surgeon: builds the smaller model that a set of masks describes, and proves it right.

Extraction replays the model's trace with each layer made anew from its config, its channel
counts replaced by what is kept, and copies the kept slices of the weights. The result is an
ordinary functional model. It is not trained again to be right: it *equals* the masked view, and
unless told otherwise the surgeon checks that on a random batch, layer by layer.
"""

import contextlib
import functools
import types

import keras
import numpy as np

from keras_cascade.graph.channel_graph import ChannelGraph
from keras_cascade.graph.tracing import assemble, renamed, replay, symbolic_inputs
from keras_cascade.graph.walk import call_arguments
from keras_cascade.surgery import verification
from keras_cascade.surgery.layer_state import copy_state
from keras_cascade.surgery.verification import SurgeryError
from keras_cascade.typing import Masks

# Of a kernel with more weights no half-cut copy is made, though that is faster.
_LARGE = 2**22
_PLAIN = (keras.initializers.Constant, keras.initializers.Ones, keras.initializers.Zeros)


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

    def __init__(self, model: keras.Model, graph: ChannelGraph | None = None) -> None:
        self.graph = graph or ChannelGraph(model)

    def extract(
        self,
        masks: Masks,
        *,
        stand_in: dict[int, keras.Layer] | None = None,
        name: str | None = None,
        verify: bool = True,
    ) -> keras.Model:
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
            SurgeryError: a layer cannot be made from its config or copied, a weight is NaN or
                infinite, or one of the extracted model's calls gives something else than the
                masked model's (see `verify` in keras_cascade.surgery.verification).
        """
        keep = self.graph.keep_vector(masks)
        stand_in = stand_in or {}
        remade = self._remake(keep, stand_in)

        def operation(call):
            return self._with_counts(call, remade[id(call.operation)], keep)

        inputs = symbolic_inputs(self.graph.trace)
        with _nothing_drawn(remade.values()):
            values = replay(self.graph.trace, inputs, operation)
        for call, flow in self.graph.first_flows():
            layer = call.operation
            source = stand_in.get(id(layer), layer)
            self._copy_weights(layer, source, remade[id(layer)], flow, keep)
        if verify:
            verification.verify(self.graph, keep, operation, stand_in)
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
        try:
            config = operation.get_config()
        except NotImplementedError as error:
            raise SurgeryError(
                f"Layer '{operation.name}' ({type(operation).__name__}) cannot be made anew: it "
                "has no get_config() for what its __init__ takes. Give it one."
            ) from error
        if any(isinstance(v, dict) and "build_config" in v for v in config.values()):
            # The layers inside would be built at once, with the shapes they had.
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
        kept = kept_axes(self.graph, layer, flow, keep)
        arrays = [_cut(value, axes) for value, axes in zip(source.weights, kept, strict=True)]
        if len(arrays) != len(target.weights):
            raise SurgeryError(
                f"Layer '{layer.name}' ({type(layer).__name__}) made from its config has "
                f"{len(target.weights)} weights, the original has {len(arrays)}. Its get_config() "
                "must describe all that it builds."
            )
        copy_state(source, target, arrays)

    def _kept(self, labels, keep):
        return keep[self.graph.units_at(labels)]


def copy_model(model: keras.Model) -> keras.Model:
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


def kept_axes(graph, layer, flow, keep):
    """What of each weight of a layer is kept.

    Args:
        graph: `ChannelGraph`.
        layer: a layer of its model.
        flow: the `Flow` of the layer's first call.
        keep: bool array of shape `(units,)`.

    Returns:
        For each of `layer.weights` a dict from axis, counted from 0, to a bool array, True = keep;
        axes that are kept whole are left out.
    """
    axes_of = {id(variable): axes for variable, axes in flow.weights}
    masks, kept = {}, []
    for variable in layer.weights:
        axes = axes_of.get(id(variable), {})
        for labels in axes.values():
            if id(labels) not in masks:
                masks[id(labels)] = keep[graph.units_at(labels)]
        found = {axis % len(variable.shape): masks[id(labels)] for axis, labels in axes.items()}
        kept.append({axis: mask for axis, mask in found.items() if not mask.all()})
    return kept


def _cut(value, kept):
    """The slices of a weight that masks keep, a copy; `kept` is a dict from axis to mask."""
    array = np.asarray(value)  # a look at the variable's own memory, where there is one
    if len(kept) > 1 and array.size > _LARGE:
        every = [kept.get(axis, np.ones(size, bool)) for axis, size in enumerate(array.shape)]
        return array[np.ix_(*every)]
    for axis, mask in kept.items():
        array = array.compress(mask, axis)
    return array if kept else array.copy()


@contextlib.contextmanager
def _nothing_drawn(operations):
    """Builds layers with zeros where they would draw random values, only to be overwritten."""
    random = [
        (operation, name, value)
        for operation in operations
        for name, value in vars(operation).items()
        if isinstance(value, keras.initializers.Initializer) and not isinstance(value, _PLAIN)
    ]
    try:
        for operation, name, _ in random:
            setattr(operation, name, keras.initializers.Zeros())
        yield
    finally:
        for operation, name, value in random:
            setattr(operation, name, value)


def _without_build_configs(config):
    """A config whose layers inside, at any depth, do not say with which shapes they were built."""
    return {
        key: _without_build_configs(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key != "build_config"
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
