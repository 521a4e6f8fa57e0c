"""ChannelGraph: the channel groups of a model, and what any choice among them costs.

The graph walks the flat trace of a model, asks each layer's rule how channels flow through it,
and joins what the rules couple. What comes out is a list of `ChannelGroup`s: channels of one or
more producing layers that can only be removed together. The unit numbers behind the groups are
this module's coordinate system: a *keep vector* has one bool a unit, and masks, one bool array a
group, are its public form.
"""

from collections.abc import Iterator

import keras
import numpy as np

from keras_cascade.graph.budgets import registered_cost
from keras_cascade.graph.channels import Channels
from keras_cascade.graph.cost import Cost
from keras_cascade.graph.grouping import ChannelGroup, group_channels
from keras_cascade.graph.rules import Flow
from keras_cascade.graph.stored_masks import masks_from_text, masks_to_text
from keras_cascade.graph.tracing import Call, TracedTensor, trace
from keras_cascade.graph.walk import walk
from keras_cascade.table import text_table
from keras_cascade.typing import Bools, Budget, Ints, Masks, Terms


class ChannelGraph:
    """The channel groups of a built Functional or Sequential model.

    Args:
        model: a built `keras.Model`; nested models are looked into.

    Attributes:
        model: the model.
        groups: list of `ChannelGroup`, in the order of their first producing layers.
        num_units: the length of a keep vector.
        indispensable: list of `(layer name, units)`: parts of a group, such as one side of a
            split, of which at least one unit must stay.
        sharing: dict from the `id` of each operation that shares weights with another one, and so
            is kept whole, to the other's name.

    Raises:
        TypeError: `model` is a subclassed model, or no model.
        ValueError: `model` is not built.

    Example:

    ```python
    graph = kc.ChannelGraph(keras.applications.MobileNetV2(weights=None))
    print(graph.summary())
    graph.macs({"Conv1": np.arange(32) < 16})    # with 16 of the first 32 filters
    ```
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.trace = trace(model)
        walked = walk(self.trace)
        self.channels, self._flow_of = walked.channels, walked.flows
        self._read_by, self.sharing, self.rows = walked.reads, walked.sharing, walked.rows
        self._maker, self._block_of = walked.space.makers, walked.space.block_of
        grouping = group_channels(walked)
        self.groups, self.num_units = grouping.groups, grouping.num_units
        self.indispensable = grouping.indispensable
        self._unit_of, self._prunable_units = grouping.unit_of, grouping.prunable_units
        self._by_name = {group.name: group for group in self.groups}
        self._first_holder = self._first_holders()
        self._costs = {}

    # What the channels are

    def __getitem__(self, name: str) -> ChannelGroup:
        """The group of that name."""
        try:
            return self._by_name[name]
        except KeyError:
            known = ", ".join(list(self._by_name)[:8])
            raise ValueError(
                f"Model '{self.model.name}' has no channel group '{name}'. Groups: {known}"
                f"{', ...' if len(self._by_name) > 8 else ''}; print(graph.summary()) lists all."
            ) from None

    @property
    def prunable_groups(self) -> list[ChannelGroup]:
        """The groups whose channels may be removed."""
        return [group for group in self.groups if group.prunable]

    def units_at(self, labels: Ints) -> Ints:
        """For each label of a `Channels` or a `Flow`, the unit that stands there."""
        return self._unit_of[labels]

    def flow(self, call: Call) -> Flow:
        """The `Flow` of one `Call` of the trace."""
        return self._flow_of[call]

    def gated(self, call: Call) -> dict[TracedTensor, Channels]:
        """The tensors that a `Call` must see with removed channels zeroed.

        Returns:
            A dict from `TracedTensor` to its `Channels`.
        """
        return {
            tensor: self.channels[tensor]
            for tensor in self._read_by[call]
            if not self.channels[tensor].fixed and self.is_prunable(self.channels[tensor].labels)
        }

    def mixes_inside(self, call: Call) -> bool:
        """Whether a `Call` mixes, within itself, channels that may be removed."""
        flow = self.flow(call)
        labels = [labels for _, _, labels in flow.inner_reads]
        if flow.masked_call is not None:
            labels += [channels.labels for channels in flow.outputs if not channels.fixed]
        return any(self.is_prunable(one) for one in labels)

    def is_prunable(self, labels: Ints) -> bool:
        """Whether any of these channels may be removed."""
        return bool(self._prunable_units[self.units_at(labels)].any())

    def filters(self) -> Iterator[tuple[keras.Variable, int, Ints]]:
        """The weight axes along which channels are made.

        Yields:
            Triples `(variable, axis, units)`: a kernel, its filter axis, and for every filter
            the unit it makes.
        """
        for call, flow in self.first_flows():
            read_inside = {(id(variable), axis) for variable, axis, _ in flow.inner_reads}
            for variable, axes in flow.weights:
                for axis, labels in axes.items():
                    makes = len(variable.shape) > 1 and self._makes(call, labels)
                    if makes and (id(variable), axis) not in read_inside:
                        yield variable, axis % len(variable.shape), self.units_at(labels)

    # Masks and keep vectors

    def keep_vector(self, masks: Masks | None = None) -> Bools:
        """Checks masks and joins them into one bool array over all units.

        Args:
            masks: dict from group name to a bool array of shape `(group.size,)`, True = keep;
                groups left out are kept whole.

        Returns:
            bool array of shape `(units,)`.

        Raises:
            ValueError: an unknown group, a mask of wrong length or type, a mask that keeps
                nothing, or one that cuts a group that is not prunable.
        """
        keep = np.ones(self.num_units, bool)
        if masks is not None and not isinstance(masks, dict):
            raise ValueError(
                f"masks must be a dict from group name to bool array, got {type(masks).__name__}."
            )
        for name, mask in (masks or {}).items():
            group = self[name]
            keep[group.units] = _checked_mask(group, mask)
        for name, units in self.indispensable:
            if not keep[units].any():
                group = next(g for g in self.groups if g.units.start <= units[0] < g.units.stop)
                raise ValueError(
                    f"The mask of group '{group.name}' leaves nothing of what '{name}' makes; keep "
                    f"at least one of its channels {(units - group.first_unit).tolist()}."
                )
        return keep

    def masks(self, keep: Bools) -> Masks:
        """The masks of a keep vector: dict from each prunable group's name to a bool array."""
        return {group.name: keep[group.units].copy() for group in self.prunable_groups}

    def to_json(self, masks: Masks) -> str:
        """The masks as plain JSON text: every group's name, size and kept channels.

        Args:
            masks: as for `keep_vector`.

        Returns:
            str, which `masks_from_json` reads on a model built the same way.

        Raises:
            ValueError: bad masks.

        Example:

        ```python
        text = kc.ChannelGraph(model).to_json(kc.prune_masks(model, 0.5))
        fresh = keras.models.clone_model(model)
        masks = kc.ChannelGraph(fresh).masks_from_json(text)
        small = kc.Surgeon(fresh).extract(masks)
        ```
        """
        return masks_to_text(self, masks)

    def masks_from_json(self, text: str) -> Masks:
        """The masks that `to_json` wrote, of this model or one built the same way.

        Args:
            text: str; the model's name may differ, its groups, sizes and params may not.

        Returns:
            Dict from each prunable group's name to a bool array of shape `(group.size,)`.

        Raises:
            ValueError: broken text, or that of another model; says where they differ.
        """
        return masks_from_text(self, text)

    # What it costs

    def macs(self, masks: Masks | None = None) -> int:
        """Multiply-accumulates of one example's forward pass.

        Counted are the kernels of convolutions, Dense, EinsumDense and recurrent layers, and the
        products of attention and Dot. Biases, normalisation, activations, pooling and merges are
        not counted.

        Args:
            masks: as for `keep_vector`; None for the whole model.

        Returns:
            int, exactly what the extracted model will need.

        Raises:
            ValueError: bad masks, or a model whose input size is not fixed.
        """
        return self.cost("macs").total(self.keep_vector(masks))

    def params(self, masks: Masks | None = None) -> int:
        """Number of weights, trainable or not, exactly as the extracted model will have.

        Args:
            masks: as for `keep_vector`; None for the whole model.

        Returns:
            int.
        """
        return self.cost("params").total(self.keep_vector(masks))

    def cost(self, budget: Budget) -> Cost:
        """The `Cost` in "macs", "params", "channels" (prunable ones) or a registered budget."""
        if budget not in self._costs:
            terms = {
                "macs": self._mac_terms,
                "params": self._param_terms,
                "channels": self._channel_terms,
            }
            self._costs[budget] = (
                self.as_cost(terms[budget]()) if budget in terms else registered_cost(budget, self)
            )
        return self._costs[budget]

    def as_cost(self, terms: Terms) -> Cost:
        """A `Cost` of this graph's units.

        Args:
            terms: list of `(coefficient, [labels, ...])`: as for `Cost`, with the labels that
                `Channels` and `Flow` hold in the place of units.

        Returns:
            A `Cost`.
        """
        units = [(c, [self.units_at(labels) for labels in factors]) for c, factors in terms]
        return Cost(units, self.num_units)

    def layer_costs(self, masks: Masks | None = None) -> dict[str, tuple[int, int | None]]:
        """What each layer, or operation that multiplies, holds and costs.

        Args:
            masks: as for `macs`.

        Returns:
            Dict from name, in the order of the calls, to `(params, macs)`; MACs are None where the
            input size is not fixed.

        Raises:
            ValueError: bad masks.
        """
        keep, found = self.keep_vector(masks), {}
        firsts = dict(self.first_flows())
        for call, flow in self._flow_of.items():
            params, macs = found.get(call.name, (0, 0))
            if call in firsts:
                params = self._total(self._weight_terms(call, flow), keep)
            found[call.name] = (params, macs + self._total(flow.macs or (), keep))
        if not self.has_fixed_input:
            return {name: (params, None) for name, (params, _) in found.items()}
        return found

    @property
    def has_fixed_input(self) -> bool:
        """Whether the input size is fixed, so that MACs are known."""
        return all(None not in tensor.shape[1:] for tensor in self.trace.inputs)

    @property
    def uncounted_layers(self) -> list[str]:
        """Names of layers with weights whose MACs no rule knows; `macs` leaves them out."""
        uncounted = [
            call.name
            for call, flow in self._flow_of.items()
            if flow.macs is None and call.is_layer and call.operation.weights
        ]
        return list(dict.fromkeys(uncounted))

    def summary(self) -> str:
        """The groups as a table that a person can read; returns a string."""
        rows = [
            [
                group.name,
                group.size,
                "yes" if group.prunable else group.reason,
                _shortened(group.producers),
                _shortened(group.consumers),
            ]
            for group in self.groups
        ]
        total = sum(group.size for group in self.groups)
        prunable = sum(group.size for group in self.prunable_groups)
        table = text_table(["group", "channels", "prunable", "made by", "read by"], rows)
        return (
            f"{self.model.name}: {len(self.groups)} channel groups, {prunable:,} of {total:,} "
            f"channels prunable\n{table}"
        )

    # How it was found

    def first_flows(self) -> list[tuple[Call, Flow]]:
        """Pairs `(call, flow)` of every layer's first call."""
        first_calls = {call.name: call for call in reversed(self.trace.calls) if call.is_layer}
        return [(call, self._flow_of[call]) for call in reversed(first_calls.values())]

    def _first_holders(self):
        """The first call whose layer holds a variable, by the variable's id: it counts once."""
        holders = {}
        for call, _ in self.first_flows():
            for variable in call.operation.weights:
                holders.setdefault(id(variable), call)
        return holders

    def _makes(self, call, labels):
        makers = [self._maker[block] for block in np.unique(self._block_of(labels))]
        return all(maker is not None and maker.layer == call.name for maker in makers)

    def _mac_terms(self):
        if not self.has_fixed_input:
            raise ValueError(
                f"The MACs of '{self.model.name}' depend on its input size, which is not fixed: "
                f"{[tensor.shape for tensor in self.trace.inputs]}. Build the model with a fixed "
                "input shape, or use budget='params'."
            )
        return [term for flow in self._flow_of.values() for term in flow.macs or ()]

    def _param_terms(self):
        return [term for pair in self.first_flows() for term in self._weight_terms(*pair)]

    def _weight_terms(self, call, flow):
        axes_of = {id(variable): axes for variable, axes in flow.weights}
        terms = []
        for variable in call.operation.weights:
            if self._first_holder[id(variable)] is not call:
                continue
            axes = axes_of.get(id(variable), {})
            labelled = {axis % len(variable.shape) for axis in axes}
            fixed = [n for axis, n in enumerate(variable.shape) if axis not in labelled]
            terms.append((int(np.prod(fixed)), list(axes.values())))
        return terms

    def _total(self, terms, keep):
        return self.as_cost(terms).total(keep) if terms else 0

    def _channel_terms(self):
        units, first_labels = np.unique(self._unit_of, return_index=True)
        labels = first_labels[self._prunable_units[units]]
        return [(1, [labels])]


def _checked_mask(group, mask):
    mask = np.asarray(mask)
    if mask.shape != (group.size,):
        raise ValueError(
            f"The mask of group '{group.name}' has shape {mask.shape}; it needs one value a "
            f"channel: ({group.size},)."
        )
    if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
        raise ValueError(f"The mask of group '{group.name}' must be boolean, True = keep.")
    mask = mask.astype(bool)
    if not mask.any():
        raise ValueError(f"The mask of group '{group.name}' keeps no channel; keep at least one.")
    if not group.prunable and not mask.all():
        raise ValueError(f"Group '{group.name}' is kept whole ({group.reason}); it cannot be cut.")
    return mask


def _shortened(names, most=3):
    shown = ", ".join(names[:most])
    return f"{shown}, +{len(names) - most}" if len(names) > most else shown
