"""The surgeon: builds the smaller model that a set of masks describes, and proves it right.

Extraction replays the model's trace with each layer made anew from its config, its channel
counts replaced by what is kept, and copies the kept slices of the weights. The result is an
ordinary functional model. It is not trained again to be right: it *equals* the masked view, and
unless told otherwise the surgeon checks that on a random batch, layer by layer.
"""

import contextlib
import functools

import keras
import numpy as np
from keras import tree

from keras_cascade.graph.channel_graph import ChannelGraph
from keras_cascade.graph.sharing import variables_read
from keras_cascade.graph.tracing import assemble, renamed, replay, symbolic_inputs
from keras_cascade.graph.walk import call_arguments
from keras_cascade.surgery import verification
from keras_cascade.surgery.layer_state import copy_state, enable_lora_alike
from keras_cascade.surgery.remaking import operations_anew
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
            if variables_read(call):
                return self._reading_twins(call, remade)
            return self._with_counts(call, remade[id(call.operation)], keep)

        inputs = symbolic_inputs(self.graph.trace)
        with _nothing_drawn(remade.values()):
            values = replay(self.graph.trace, inputs, operation)
        for layer in self.graph.trace.layers.values():
            enable_lora_alike(stand_in.get(id(layer), layer), remade[id(layer)])
        self._check_remade(remade, stand_in)
        for call, flow in self.graph.first_flows():
            layer = call.operation
            source = stand_in.get(id(layer), layer)
            kept = kept_axes(self.graph, layer, flow, keep)
            arrays = [_cut(value, axes) for value, axes in zip(source.weights, kept, strict=True)]
            copy_state(source, remade[id(layer)], arrays)
        if verify:
            verification.verify(self.graph, keep, operation, stand_in, remade)
        return assemble(self.graph.trace, inputs, values, name or self.graph.model.name)

    def _remake(self, keep, stand_in):
        """Each operation anew with the channel counts of `keep`, by the id of the original."""
        remade, wanted = {}, {}
        for call in self.graph.trace.calls:
            key, flow = id(call.operation), self.graph.flow(call)
            if call.is_layer or flow.config:
                source = stand_in.get(key, call.operation)
                counted = functools.partial(self._with_config_counts, flow, keep)
                wanted.setdefault(key, (source, call.name, counted))
            else:
                remade.setdefault(key, renamed(call))
        return remade | operations_anew(wanted, self.graph.sharing)

    def _with_config_counts(self, flow, keep, config):
        """A config with the channel counts of `keep`."""
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

    def _reading_twins(self, call, remade):
        """What is called in the place of an op node that reads weights of layers itself."""

        def called(*args, **kwargs):
            twins = {
                id(variable): twin
                for name, layer in self.graph.trace.layers.items()
                for variable, twin in zip(layer.weights, remade[id(layer)].weights, strict=False)
            }

            def twin_of(leaf):
                if not isinstance(leaf, keras.Variable):
                    return leaf
                if id(leaf) not in twins:
                    raise SurgeryError(
                        f"Operation '{call.name}' reads the weight '{leaf.path}' itself, which no "
                        "layer holds that the model calls before it. Put what it computes into a "
                        "layer that holds the weight."
                    )
                return twins[id(leaf)]

            args, kwargs = tree.map_structure(twin_of, (args, kwargs))
            return remade[id(call.operation)](*args, **kwargs)

        return called

    def _check_remade(self, remade, stand_in):
        """Raises unless layers made anew have the weights of the originals, shared alike."""
        twins, originals = {}, {}
        for call, _ in self.graph.first_flows():
            layer, target = call.operation, remade[id(call.operation)]
            source = stand_in.get(id(layer), layer)
            what = f"Layer '{layer.name}' ({type(layer).__name__}) made from its config"
            _check_own_weights(what, source, target)
            for variable, twin in zip(source.weights, target.weights, strict=True):
                same = (
                    twins.setdefault(id(variable), twin) is twin,
                    originals.setdefault(id(twin), variable) is variable,
                )
                if not all(same):
                    raise SurgeryError(
                        f"{what} no longer shares the weight '{variable.path}' with layer "
                        f"'{self.graph.sharing.get(id(layer))}'. Its get_config() must hold the "
                        "layer that it takes weights from (keras.saving.serialize_keras_object), "
                        "and its from_config() must make it of that."
                    )

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


def _check_own_weights(what, source, target):
    """Raises unless a layer made anew has as many weights as the original, and none of those."""
    if len(source.weights) != len(target.weights):
        raise SurgeryError(
            f"{what} has {len(target.weights)} weights, the original has "
            f"{len(source.weights)}. Its get_config() must describe all that it builds."
        )
    originals = set(map(id, source.weights))
    for twin in target.weights:
        if id(twin) in originals:
            raise SurgeryError(
                f"{what} holds the original's own weight '{twin.path}'. Its get_config() must "
                "hold no weight, and nothing that has weights, as it is: it must say how to make "
                "them, and from_config() must make them."
            )


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
