"""MaskedLevels: members that see one set of weights through masks of their own.

Level 0 is a traced model itself, or a frozen copy of it; each further level sees the model's
weights through gates, which take away the masked channels and from whose gradients saliency is
gathered, and through BatchNormalization layers of its own. What the masks should be is the concern
of `CascadeDistiller`.
"""

import numbers
import types
from typing import Any

import keras
from keras import ops

from keras_cascade.cascade import replicas
from keras_cascade.cascade.guided import GuidedTrainer
from keras_cascade.cascade.levels import freeze_alike, layers_by_original, own_normalisations
from keras_cascade.graph import ChannelGraph
from keras_cascade.saliency import ChannelGates
from keras_cascade.saliency.gates import gradient_probe
from keras_cascade.surgery import Surgeon
from keras_cascade.surgery.sliced import SlicedModel
from keras_cascade.surgery.views import build_view
from keras_cascade.typing import Floats, Level, Masks, Tensor


class MaskedLevels(GuidedTrainer):
    """Trains a model and masked views of it together, and gathers the saliency of each view.

    Args:
        graph: the model's `ChannelGraph`.
        names: list of the levels' names, the largest first; the first is the model itself.
        guides: dict from a level's name to the list of names of its guides.
        momentum: of the moving average of saliency, in [0, 1).
        freeze_teacher: whether the first is a frozen copy of the model instead.
        own_normalisation: whether each level has BatchNormalization layers of its own.
        **options: further arguments of `GuidedTrainer`.

    Raises:
        SurgeryError: a layer cannot be made from its config or copied.
        ValueError: a layer is stateful.
    """

    def __init__(
        self,
        graph: ChannelGraph,
        names: list[str],
        guides: dict[str, list[str]],
        *,
        momentum: float,
        freeze_teacher: bool,
        own_normalisation: bool,
        **options: Any,
    ) -> None:
        _check_stateless(graph)
        gates = [
            ChannelGates(graph.num_units, momentum, name=graph.trace.free_name(f"{n}_gates"))
            for n in names[1:]
        ]
        # A model that cannot be extracted is refused here, and not when it has been trained.
        copy = Surgeon(graph.model, graph).extract({}, verify=False)
        if freeze_teacher:
            teacher = copy
            # The model's own normalisations would be in no level: the next one has them.
            own_layers = [layers_by_original(graph, teacher), {}]
        else:
            teacher, own_layers = build_view(graph, name=names[0]), [{}]
        own_layers += [
            own_normalisations(graph, n) if own_normalisation else {}
            for n in names[len(own_layers) :]
        ]
        views = [teacher] + [
            build_view(graph, g, own, name=n, gate_weights=True)
            for n, g, own in zip(names[1:], gates, own_layers[1:], strict=True)
        ]
        options["frozen"] = names[:1] if freeze_teacher else ()
        super().__init__(dict(zip(names, views, strict=True)), guides, **options)
        self.graph, self.level_names = graph, names
        self.freeze_teacher, self.own_normalisation = freeze_teacher, own_normalisation
        self._gates, self._momentum = gates, momentum
        self._own_layers = own_layers
        self._sliced: types.MappingProxyType[str, SlicedModel] | None = None
        self._loss_scale = self.add_weight(
            shape=(),
            initializer="zeros",
            overwrite_with_gradient=True,
            aggregation="sum",
            dtype="float32",
            autocast=False,
            name="loss_scale",
        )

    def call(self, inputs: Any, training: bool = False) -> dict[str, Tensor]:
        """All levels' outputs: dict from level name to tensor."""
        if training and not self.sliced:
            self._fold_saliency()
        return super().call(inputs, training=training)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As `GuidedTrainer.compile`.

        Raises:
            ValueError: a loss for which no KL is defined; gradient accumulation or use_ema.
        """
        super().compile(*args, **kwargs)
        freeze_alike(self.graph, self._own_layers[1:])  # such changes count from `compile` on
        for optimizer in _optimizers_in(self.optimizer, self.trainable_variables):
            _check_assigns_gradients(optimizer)

    def compute_loss(self, *args: Any, **kwargs: Any) -> Tensor:
        """The sum of the levels' losses and the regularisers; a scalar tensor."""
        loss = super().compute_loss(*args, **kwargs)
        if self.sliced:  # the optimizer assigns probes a gradient, so there must be one
            probes = [self._loss_scale, *(gates.probe for gates in self._gates)]
            return loss + ops.cast(0.0 * sum(ops.sum(probe) for probe in probes), loss.dtype)
        probe = gradient_probe(self._loss_scale) / replicas.count()
        return loss + ops.cast(probe, loss.dtype)

    # Masks

    def masks(self, level: Level = -1) -> Masks:
        """The present masks of a level.

        Args:
            level: its number (0 = teacher, -1 = student) or its name.

        Returns:
            Dict from each prunable group's name to a bool array, True = keep.
        """
        return self.graph.masks(self._keep(self._index(level)))

    def set_masks(self, level: Level, masks: Masks) -> None:
        """Sets the masks of a level by hand.

        Args:
            level: its number or name; not the teacher.
            masks: dict from group name to a bool array, True = keep.

        Raises:
            ValueError: bad masks, or the teacher, which is never masked.
        """
        index = self._index(level)
        if index == 0:
            raise ValueError("The teacher (level 0) has no masks: nothing of it is removed.")
        self.unslice_levels()
        self._gates[index - 1].mask.assign(self.graph.keep_vector(masks).astype("float32"))

    def saliency(self, level: Level = -1) -> dict[str, Floats]:
        """The present saliency of a level: dict from each prunable group to a float array."""
        values = self._saliency_of(self._pruned_index(level))
        return {group.name: values[group.units].copy() for group in self.graph.prunable_groups}

    # Slices

    @property
    def sliced(self) -> bool:
        """Whether `slice_levels` is in force."""
        return self._sliced is not None

    def slice_levels(self) -> None:
        """From now on computes levels with slices of the shared weights, at the present masks.

        Losses and updates are those of the masked levels, but a step costs what the small models
        cost. No saliency is gathered, so it is for training after the last mask update; whatever
        changes masks undoes it. Dropout draws other numbers, and an `activity_regularizer` no
        longer counts removed channels, nor do moments that levels share.
        """
        self._fold_saliency()
        for variable in (self._loss_scale, *(gates.probe for gates in self._gates)):
            variable.assign(ops.zeros(variable.shape, variable.dtype))
        views = {
            name: SlicedModel(self.graph, self.masks(name), self.add_loss, self._own_layers[index])
            for index, name in enumerate(self.level_names)
            if index
        }
        # A proxy, because Keras would take layers in a dict for parts of this model.
        self._sliced = types.MappingProxyType(views)
        self._trace_anew()

    def unslice_levels(self) -> None:
        """Computes the levels by masks again; does nothing if they are."""
        if self.sliced:
            self._sliced = None
            self._trace_anew()

    def _trace_anew(self):
        if self.train_function is not None:
            self.make_train_function(force=True)
        self.test_function = None

    def _fold_saliency(self):
        for index, gates in enumerate(self._gates):
            gates.fold(self._scale_of(index))

    def _computer_of(self, name):
        if self.sliced and name in self._sliced:
            return self._sliced[name]
        return super()._computer_of(name)

    # Pieces

    def _saliency_of(self, index):
        return self._gates[index].current_saliency(self._scale_of(index))

    def _scale_of(self, index):
        """What the loss behind the gates of a pruned level was multiplied by in the last step."""
        weight = self._member_weights[self.level_names[index + 1]]
        return ops.convert_to_tensor(self._loss_scale) * weight

    def _index(self, level):
        if isinstance(level, str) and level in self.level_names:
            return self.level_names.index(level)
        count = len(self.level_names)
        if isinstance(level, numbers.Integral) and -count <= level < count:
            return level % count
        raise ValueError(f"No level {level!r}: use 0 to {count - 1} or {self.level_names}.")

    def _pruned_index(self, level):
        index = self._index(level)
        if index == 0:
            raise ValueError("The teacher (level 0) has no gates and so no saliency.")
        return index - 1

    def _keep(self, index):
        if index == 0:
            return self.graph.keep_vector()
        return keras.ops.convert_to_numpy(self._gates[index - 1].mask) > 0.5


def _optimizers_in(optimizer, variables):
    """The optimizer that variables are given to, or the several that share them."""
    # A loss-scaling optimizer, which Keras adds under mixed_float16, has another inside.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not hasattr(optimizer, "optimizers"):
        return [optimizer]
    optimizer.build(variables)  # a MultiOptimizer may know its own only then
    return optimizer.optimizers


def _check_assigns_gradients(optimizer):
    """Refuses an optimizer that would not give the gates their gradients as they are."""
    if optimizer.gradient_accumulation_steps:
        raise ValueError(
            "With gradient_accumulation_steps no saliency can be had: of weights that an "
            "optimizer assigns, as it does the gates' gradients, Keras keeps the largest of "
            "the accumulated gradients and not their sum. Use a larger batch."
        )
    if optimizer.use_ema:
        raise ValueError(
            "With use_ema=True Keras tries to average the gates' gradients too, and fails. "
            "Use use_ema=False; the extracted student may be trained on with it."
        )


def _check_stateless(graph):
    """Refuses layers that keep a state from batch to batch, which all levels would write."""
    for name, layer in graph.trace.layers.items():
        if any(getattr(part, "stateful", False) for part in layer._flatten_layers()):
            raise ValueError(
                f"Layer '{name}' is stateful: each level of a cascade would go on from the state "
                "that the one before it left. Build the model with stateful=False."
            )
