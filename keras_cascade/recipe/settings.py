"""Settings of one run of the whole recipe: teacher, cascade, recovery, yardstick."""

import dataclasses

import keras

from keras_cascade.typing import Budget, Guidance, Scope

RECOVERY_GUIDES = ("original", "teacher", "last_assistant")
LEVEL_LOSSES = ("sum", "mean")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the stages are trained.

    Attributes:
        teacher_epochs: epochs of the teacher alone; 0 if it comes trained.
        epochs: epochs of the cascade.
        recover_epochs: epochs of the extracted student alone, under a frozen larger model.
        recover_from: which: "original", the teacher as it was before the cascade, "teacher", level
            0 after it, or "last_assistant", the level next to the student.
        recover_alpha: of recovery, in [0, 1): the weight of that model against the labels. None
            takes `alpha`.
        anneal_teacher: whether the weight of a student's guide falls to 0 until the end wherever it
            is trained alone, in recovery, in `distil` and by a study's weight pruning: see
            `TeacherAnnealing`. Else the guide counts as much to the end.
        levels: fractions of the budget to remove, strictly increasing; the last is the student's.
        budget, guidance, scope, round_to, min_channels, temperature, alpha, momentum: see
            `CascadeDistiller`.
        level_losses: whether the cascade minimises the "sum" of its levels' losses, as the paper
            does, or their "mean". Levels that are still much alike pull the shared weights in one
            direction, so that a sum takes longer steps the more levels there are.
        begin, end: of pruning, as fractions of the cascade's training.
        optimizer: "sgd" (Nesterov momentum 0.9), or any other Keras optimizer's name.
        learning_rate: where the teacher's cosine begins.
        prune_learning_rate: where the cosines of the later stages begin.
        seed: of initial weights, data order, augmentation and dropout.
        jit_compile: None lets Keras decide on an accelerator and turns XLA off on a CPU, where
            TensorFlow is slower with it.
        freeze_teacher, own_normalisation, hard_masks: see `CascadeDistiller`. The teacher is
            frozen here, as it has been trained before; False for both is the cascade as we read
            the paper.
        slice_levels: whether the cascade's steps get cheaper once masks are fixed, see
            `CascadeCallback`.
    """

    teacher_epochs: int = 30
    epochs: int = 20
    recover_epochs: int = 10
    recover_from: str = "original"
    recover_alpha: float | None = None
    anneal_teacher: bool = True
    levels: tuple[float, ...] = (0.25, 0.5, 0.75)
    budget: Budget = "macs"
    guidance: Guidance = "cascade"
    scope: Scope = "global"
    round_to: int = 1
    min_channels: int = 4
    temperature: float = 4.0
    alpha: float = 0.5
    momentum: float = 0.99
    begin: float = 0.0
    end: float = 0.6
    optimizer: str = "sgd"
    learning_rate: float = 0.05
    prune_learning_rate: float = 0.02
    seed: int = 0
    jit_compile: bool | None = None
    freeze_teacher: bool = True
    own_normalisation: bool = True
    hard_masks: bool = True
    level_losses: str = "sum"
    slice_levels: bool = False

    def __post_init__(self) -> None:
        for name, least in (("teacher_epochs", 0), ("epochs", 1), ("recover_epochs", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if self.recover_from not in RECOVERY_GUIDES:
            raise ValueError(
                f"recover_from must be {', '.join(RECOVERY_GUIDES)}, got {self.recover_from!r}."
            )
        if self.level_losses not in LEVEL_LOSSES:
            raise ValueError(
                f"level_losses must be {' or '.join(LEVEL_LOSSES)}, got {self.level_losses!r}."
            )
        if self.recover_alpha is not None and not 0.0 <= self.recover_alpha < 1.0:
            raise ValueError(
                f"recover_alpha must lie in [0, 1) or be None, got {self.recover_alpha}. "
                "0 lets the student recover by the labels alone."
            )
        for name in ("learning_rate", "prune_learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}.")

    def level_weights(self) -> list[float]:
        """What `CascadeDistiller(level_weights=...)` is given: a weight a level."""
        trained = [0.0 if self.freeze_teacher else 1.0] + [1.0] * len(self.levels)
        whole = sum(trained) if self.level_losses == "mean" else 1.0
        return [weight / whole for weight in trained]

    def make_optimizer(self, learning_rate: float, steps: int) -> keras.optimizers.Optimizer:
        """The optimizer of one stage, its learning rate falling to 0 along a cosine.

        Args:
            learning_rate: where it begins.
            steps: the stage's training steps, at least 1.

        Returns:
            A `keras.optimizers.Optimizer`.

        Raises:
            ValueError: an optimizer that Keras does not know.
        """
        cosine = keras.optimizers.schedules.CosineDecay(learning_rate, max(steps, 1))
        if self.optimizer == "sgd":
            return keras.optimizers.SGD(cosine, momentum=0.9, nesterov=True)
        optimizer = keras.optimizers.get(self.optimizer)
        return type(optimizer).from_config({**optimizer.get_config(), "learning_rate": cosine})

    def use_jit(self) -> bool | str:
        """What `compile(jit_compile=...)` is given."""
        if self.jit_compile is not None:
            return self.jit_compile
        if keras.backend.backend() != "tensorflow":
            return "auto"
        devices = keras.distribution.list_devices()
        return False if all("cpu" in device.lower() for device in devices) else "auto"
