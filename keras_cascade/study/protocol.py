"""The protocol of a study: how long and how everything is trained, the same for every cell."""

import dataclasses

from keras_cascade.recipe import Settings
from keras_cascade.typing import Criterion, Record, Scope

# What rows of before these were there were made with.
_LATER = {"replicas": 1, "synchronized": False, "freeze_teacher": False}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How the cells of a study are trained.

    Every method gets `settings.epochs + settings.recover_epochs` epochs after the teacher.

    Attributes:
        settings: `recipe.Settings`; its levels and seed are each cell's own, and `budget` is
            "params", so that an amount means the same for weights and for channels.
        batch_size: images a step.
        max_train_examples: only so many training images; None is all.
        image_size: side to resize images to, in pixels; None keeps them.
        weight_decay: L2 on the kernels.
        replicas: among how many a batch is divided.
        synchronized: whether BatchNorm takes its moments over all of them.
        criterion, scope: of one-shot channel pruning, see `keras_cascade.prune`.
    """

    settings: Settings = dataclasses.field(default_factory=lambda: Settings(budget="params"))
    batch_size: int = 128
    max_train_examples: int | None = None
    image_size: int | None = None
    weight_decay: float = 5e-4
    criterion: Criterion = "l1"
    scope: Scope = "layer"
    replicas: int = 1
    synchronized: bool = False

    @property
    def epochs(self) -> int:
        """Epochs of every method, after the teacher."""
        return self.settings.epochs + self.settings.recover_epochs

    def as_dict(self) -> Record:
        """All of it as one flat dict, to be kept with every result."""
        flat = dataclasses.asdict(self)
        settings = flat.pop("settings")
        for own in ("levels", "seed", "scope"):
            settings.pop(own)
        row = {**settings, **flat, "cascade_scope": self.settings.scope}
        for later, default in _LATER.items():
            if row[later] == default:
                row.pop(later)
        return row
