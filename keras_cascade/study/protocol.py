"""The protocol of a study: how long and how everything is trained, the same for every cell."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from keras_cascade.recipe import Settings
from keras_cascade.typing import Criterion, Record, Scope

# What a teacher is made by: the same for all methods, which start from one teacher.
_OF_TEACHERS = (
    "batch_size",
    "image_size",
    "learning_rate",
    "max_train_examples",
    "optimizer",
    "replicas",
    "synchronized",
    "teacher_epochs",
    "weight_decay",
)
# What rows of before these were there were made with.
_LATER = {
    "anneal_teacher": False,
    "dense_ends": False,
    "freeze_teacher": False,
    "hard_masks": False,
    "level_losses": "sum",
    "litert": True,
    "own_normalisation": True,
    "recover_alpha": None,
    "recover_from": "original",
    "replicas": 1,
    "shape_of": "cascade_0",
    "slice_levels": False,
    "spacing": "even",
    "synchronized": False,
    "watch_test": False,
}
# Of the settings: each cell's own, and one that `as_dict` has under another name.
_OWN = ("levels", "seed", "scope")
_SPACINGS = ("even", "geometric")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How the cells of a study are trained.

    Every method gets `settings.epochs + settings.recover_epochs` epochs after the teacher.

    Attributes:
        settings: `recipe.Settings`; its levels and seed are each cell's own. With the budget
            "params" an amount means the same for weights and for channels.
        batch_size: images a step.
        max_train_examples: only so many training images; None is all.
        image_size: side to resize images to, in pixels; None keeps them.
        weight_decay: L2 on the kernels.
        replicas: among how many a batch is divided.
        synchronized: whether BatchNorm takes its moments over all of them.
        criterion, scope: of one-shot channel pruning, see `keras_cascade.prune`.
        spacing: of assistants, between the teacher and the student: "even" in what is removed, or
            "geometric" in what is left.
        shape_of: method whose result says how many channels "pruned_from_scratch" has in each
            group and, where the budget is not "params", how many params weight pruning leaves.
        dense_ends: whether weight pruning leaves the first and the last layer that it could prune
            dense. TF-MOT spreads zeros evenly over layers, of which a first convolution with few
            weights can lose all those of most of its filters.
        watch_test: whether the test split is looked at after every epoch, for the records alone.
        litert: whether sizes and latencies of LiteRT files are measured (it needs TensorFlow).
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
    spacing: str = "even"
    shape_of: str = "cascade_0"
    dense_ends: bool = False
    watch_test: bool = False
    litert: bool = True

    def __post_init__(self) -> None:
        if self.spacing not in _SPACINGS:
            raise ValueError(f"spacing must be {' or '.join(_SPACINGS)}, got {self.spacing!r}.")

    @property
    def epochs(self) -> int:
        """Epochs of every method, after the teacher."""
        return self.settings.epochs + self.settings.recover_epochs

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A protocol from flat values with the names of `as_dict`; the rest are defaults.

        Args:
            values: dict; "scope" is that of one-shot pruning, "cascade_scope" the cascades'.

        Raises:
            ValueError: a name that does not exist, or a value out of range.
        """
        return cls().changed(values)

    def changed(self, values: Mapping[str, Any]) -> Self:
        """This protocol with some values changed; see `from_dict`."""
        of_settings = {field.name for field in dataclasses.fields(Settings)} - set(_OWN)
        of_settings |= {"cascade_scope"}
        of_protocol = {field.name for field in dataclasses.fields(self)} - {"settings"}
        unknown = sorted(set(values) - of_settings - of_protocol)
        if unknown:
            known = ", ".join(sorted(of_settings | of_protocol))
            raise ValueError(f"Unknown settings {', '.join(unknown)}. Known: {known}.")
        settings = {name: value for name, value in values.items() if name in of_settings}
        if "cascade_scope" in settings:
            settings["scope"] = settings.pop("cascade_scope")
        return dataclasses.replace(
            self,
            settings=dataclasses.replace(self.settings, **settings),
            **{name: value for name, value in values.items() if name in of_protocol},
        )

    def as_dict(self) -> Record:
        """All of it as one flat dict, to be kept with every result."""
        flat = dataclasses.asdict(self)
        settings = flat.pop("settings")
        for own in _OWN:
            settings.pop(own)
        row = {**settings, **flat, "cascade_scope": self.settings.scope}
        return {name: row[name] for name in row if (name, row[name]) not in _LATER.items()}

    def teacher_recipe(self) -> Record:
        """Of `as_dict`, what a teacher depends on."""
        values = self.as_dict()
        return {name: values[name] for name in _OF_TEACHERS if name in values}
