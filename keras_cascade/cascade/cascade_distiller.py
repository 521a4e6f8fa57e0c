"""CascadeDistiller: teacher, assistants and student, one architecture and one set of weights.

Level 0 is the teacher, the model itself or a frozen copy of it; level k sees the model's weights
through gates that remove `levels[k - 1]` of the budget, and through BatchNormalization layers of
its own, because the levels' activation statistics differ. Each level is pruned by the gradient of
its own loss, and guided by the next larger one (Miles & Mikolajczyk, "Cascaded channel pruning
using hierarchical self-distillation", BMVC 2020). The own normalisation is ours, after slimmable
networks, and so is the frozen teacher.
"""

import warnings
from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np

from keras_cascade.cascade.levels import (
    checked_levels,
    checked_weights,
    freeze_alike,
    guides_of,
    layers_by_original,
    levels_table,
)
from keras_cascade.cascade.masked_levels import MaskedLevels
from keras_cascade.graph import ChannelGraph
from keras_cascade.saliency import Ranking
from keras_cascade.surgery import Surgeon, pruning_record
from keras_cascade.typing import Budget, Config, Guidance, Level, Record, Scope


@keras.saving.register_keras_serializable(package="keras_cascade")
class CascadeDistiller(MaskedLevels):
    """Trains a teacher-assistants-student cascade on one set of weights, and prunes it.

    Used with plain `compile`, `fit`, `evaluate` and `predict`; pruning happens in `fit` with a
    `CascadeCallback`. `predict` gives the student's output. Logs: the student's metrics under
    their ordinary names, the other levels' under `teacher_...`, `ta1_...`; `loss` is the sum over
    levels and regularisers; `<level>_loss` and `<level>_kl` are its parts.

    Args:
        model: a built Functional or Sequential `keras.Model` with one output. It is level 0
            (but see `freeze_teacher`) and is trained in place. The weights of layers that are
            frozen (`trainable=False`) when `compile` is called stay as they are in all levels;
            their channels may go all the same.
        levels: fractions of the budget to remove, strictly increasing in (0, 1): any number of
            assistants, then the student.
        budget: "macs" (of one example), "params", "channels" (of prunable groups), "latency" (on
            LiteRT, measured) or one that `register_budget` made.
        temperature: T of the distillation loss, above 0.
        alpha: weight of the guidance against the labels, in [0, 1).
        guidance: which larger levels guide level k: "cascade" (k - 1), "dense" (the mean over
            all; Son et al., "Densely Guided Knowledge Distillation", ICCV 2021), or "teacher" (0).
        scope: "global" (channels ranked over the whole network by saliency per cost) or "layer"
            (the same fraction in every group).
        round_to: kept channels are a multiple of this, in every group.
        min_channels: at least this many channels stay in each group.
        momentum: of the moving average of saliency, in [0, 1).
        level_weights: what each level's loss is multiplied by in the sum that is minimised, the
            teacher's first: above 0, the teacher's may be 0; None: 1 for all. The masks do not
            depend on them, other than by the weights that come of it. A frozen teacher has no
            loss: its entry must be 0, as None makes it.
        freeze_teacher: whether level 0 is a copy of the model as it is now, run in inference mode
            and never trained. The model's weights then are those of the other levels alone, its
            BatchNormalization layers those of level 1, and the logs have no `teacher_loss`.
        own_normalisation: whether each level has BatchNormalization layers of its own; otherwise
            all are normalised by the model's, whose moments then are of all levels mixed.
        hard_masks: whether a channel that a level has lost stays lost; otherwise, as we read the
            paper, it comes back as soon as its saliency ranks it among those to keep.
        distillation: stands in for the KL term: a `keras.losses.Loss` of the teacher's and the
            student's outputs, or an object with `compute_loss(teacher_outputs, student_outputs)`.
            On several replicas that must be made of `keras.losses.Loss` objects, which divide by
            their number.

    Attributes:
        graph: the model's `ChannelGraph`.
        level_names: list of str, "teacher", "ta1", ..., "student".
        schedule_step: steps of the schedule that a `CascadeCallback` has run so far; 0 once it
            has ended.

    Raises:
        TypeError: `model` is a subclassed model; `distillation` cannot compare outputs.
        ValueError: an argument out of range, a model in which nothing can be pruned or with a
            stateful layer, a level beyond what the floors allow (the reachable maximum is named).
        SurgeryError: a layer cannot be made from its config or copied, so that no level could be
            extracted.

    Example:

    ```python
    cascade = kc.CascadeDistiller(model, levels=(0.25, 0.5, 0.75))
    cascade.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    cascade.fit(x, y, epochs=30, callbacks=[kc.CascadeCallback()])
    student = cascade.extract()
    ```
    """

    def __init__(
        self,
        model: keras.Model,
        levels: float | Sequence[float] = (0.25, 0.5, 0.75),
        *,
        budget: Budget = "macs",
        temperature: float = 4.0,
        alpha: float = 0.5,
        guidance: Guidance = "cascade",
        scope: Scope = "global",
        round_to: int = 1,
        min_channels: int = 4,
        momentum: float = 0.99,
        level_weights: Sequence[float] | None = None,
        freeze_teacher: bool = False,
        own_normalisation: bool = True,
        hard_masks: bool = True,
        distillation: Any = None,
        name: str | None = None,
    ) -> None:
        graph = ChannelGraph(model)
        levels = checked_levels(levels)
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum}.")
        ranking = Ranking(graph, budget, scope, round_to, min_channels)
        for level in levels:
            ranking.check(level, "level")
        names = ["teacher", *(f"ta{k}" for k in range(1, len(levels))), "student"]
        super().__init__(
            graph,
            names,
            guides_of(names, guidance),
            momentum=momentum,
            freeze_teacher=freeze_teacher,
            own_normalisation=own_normalisation,
            temperature=temperature,
            alpha=alpha,
            distillation=distillation,
            weights=checked_weights(level_weights, names, freeze_teacher),
            name=name or f"{model.name}_cascade",
        )
        self.levels, self.guidance, self.hard_masks = levels, guidance, hard_masks
        self.budget, self.scope = budget, scope
        self._ranking = ranking
        self._base = model
        self.schedule_step = 0

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As `GuidedTrainer.compile`.

        Raises:
            ValueError: a loss for which no KL is defined; gradient accumulation or use_ema.
        """
        super().compile(*args, **kwargs)
        self.schedule_step = 0

    # Targets

    def update_masks(self, progress: float = 1.0) -> dict[str, int]:
        """Ranks every level's channels anew and sets its masks.

        Args:
            progress: share of each level's target that is to be removed now, in [0, 1].

        Returns:
            Dict from level name to the number of channels whose mask changed.
        """
        self.unslice_levels()
        flips = {}
        for index, level in enumerate(self.levels):
            before, target = self._keep(index + 1), level * progress
            saliency = self._saliency_of(index)
            if self.hard_masks:  # what went too early could not come back when the target is met
                keep = self._ranking.keep(saliency, target, progress < 1.0, among=before)
            else:
                keep = self._ranking.keep(saliency, target)
            self._gates[index].mask.assign(keep.astype("float32"))
            flips[self.level_names[index + 1]] = int((before != keep).sum())
        return flips

    def resume_schedule(self, step: int) -> None:
        """Has the schedule go on from a step, after the weights and masks of then were put back.

        Args:
            step: steps of the schedule that had been run.
        """
        self.unslice_levels()  # slices are of the masks that were
        self.schedule_step = step

    def remaining(self, budget: Budget | None = None) -> dict[str, float]:
        """The fraction each level still costs: dict from level name to float.

        Args:
            budget: as for the cascade; None: its own.
        """
        cost = self.graph.cost(budget or self.budget)
        whole = cost.total(self.graph.keep_vector())
        return {
            name: cost.total(self._keep(index)) / whole
            for index, name in enumerate(self.level_names)
        }

    def misses(self) -> dict[str, str]:
        """Why a level's masks miss its target by over 1% of the budget: dict, empty if none do."""
        reasons = {
            name: self._ranking.miss(self._keep(index), level)
            for index, (name, level) in enumerate(
                zip(self.level_names[1:], self.levels, strict=True), 1
            )
        }
        return {name: reason for name, reason in reasons.items() if reason}

    # Results

    def extract(self, level: Level = -1, *, verify: bool = True) -> keras.Model:
        """The small model of a level: plain layers, weights copied, not compiled.

        Args:
            level: its number (0 = teacher, -1 = student) or its name.
            verify: whether to compare it with the masked level on a random batch.

        Returns:
            A functional `keras.Model`; its output equals the level's.

        Raises:
            ValueError: no such level.
            SurgeryError: the result differs from the masked level.
        """
        index = self._index(level)
        keep = self._keep(index)
        self._warn_of_miss(index, keep)
        small = Surgeon(self._base, self.graph).extract(
            self.graph.masks(keep),
            stand_in=self._own_layers[index],
            name=f"{self._base.name}_{self.level_names[index]}",
            verify=verify,
        )
        if self._is_frozen(index):  # what is handed out may be trained where the model may
            freeze_alike(self.graph, [layers_by_original(self.graph, small)])
        return small

    def _is_frozen(self, index):
        return self.freeze_teacher and index == 0

    def _warn_of_miss(self, index, keep):
        name = self.level_names[index]
        if index and keep.all():
            warnings.warn(
                f"Level '{name}' has no channel removed yet. Was fit called with "
                "callbacks=[CascadeCallback()]?",
                stacklevel=3,
            )
        elif index and self._ranking.removed(keep) < self.levels[index - 1] - 0.01:
            warnings.warn(f"Level '{name}': {self.misses()[name]}", stacklevel=3)

    def levels_summary(self) -> str:
        """Params and MACs of every level at its present masks, as a table; returns a string."""
        keeps = [self._keep(index) for index in range(len(self.level_names))]
        table = levels_table(self.graph, self.level_names, self.levels, keeps, self.budget)
        return "\n".join([table, *(f"{name}: {why}" for name, why in self.misses().items())])

    def pruning_record(self, level: Level = -1) -> Record:
        """What a level is cut from and how, for the manifest of its export; see `pruning_record`.

        Args:
            level: its number (0 = teacher, -1 = student) or its name.

        Returns:
            Dict that `json` can hold.
        """
        settings = self.get_config()
        for part in ("model", "distillation", "name"):
            del settings[part]
        index = self._index(level)
        name = self.level_names[index]
        if self._is_frozen(index):  # it is cut from weights of its own
            graph = ChannelGraph(self._members[name])
            return pruning_record(graph, {}, level=name, **settings)
        return pruning_record(self.graph, self.masks(index), level=name, **settings)

    def save_own_variables(self, store: Any) -> None:
        """As `GuidedTrainer`, and how far pruning has come."""
        super().save_own_variables(store)
        store["schedule_step"] = np.array(self.schedule_step)

    def load_own_variables(self, store: Any) -> None:
        """The counterpart of `save_own_variables`."""
        self.resume_schedule(int(np.array(store["schedule_step"])))
        names = [name for name in store.keys() if name != "schedule_step"]  # noqa: SIM118
        super().load_own_variables({name: store[name] for name in names})

    def get_config(self) -> Config:
        return {
            "model": keras.saving.serialize_keras_object(self._base),
            "levels": self.levels,
            "budget": self.budget,
            "temperature": self.temperature,
            "alpha": self.alpha,
            "guidance": self.guidance,
            "scope": self.scope,
            "round_to": self._ranking.round_to,
            "min_channels": self._ranking.min_channels,
            "momentum": self._momentum,
            "level_weights": [self._member_weights[name] for name in self.level_names],
            "freeze_teacher": self.freeze_teacher,
            "own_normalisation": self.own_normalisation,
            "hard_masks": self.hard_masks,
            "distillation": keras.saving.serialize_keras_object(self.distillation),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Config) -> Self:
        config = dict(config)
        for key in ("model", "distillation"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)
