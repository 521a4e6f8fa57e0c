"""Task: what a method of a study is given."""

import collections
import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from keras_cascade.cascade import TrainingBackup
from keras_cascade.recipe import Settings, StageBackups
from keras_cascade.study.backups import epochs_path
from keras_cascade.study.epoch_records import EpochRecords
from keras_cascade.study.protocol import Protocol
from keras_cascade.typing import Record, Row


def _no_results(method):
    raise ValueError(f"There are no results of '{method}' to go by: run it before.")


@dataclasses.dataclass(frozen=True)
class Task:
    """What a method is given.

    Attributes:
        teacher: the trained dense model.
        network: name of its architecture, as `models.build_model` takes it.
        amount: fraction of the teacher's budget to remove or, of params, to set to zero.
        images: `data.ImageData`; `test` is None, unless it is watched every epoch.
        protocol: the study's `Protocol`, with what the cell's variant changes.
        seed: of new weights.
        width: of that network.
        result_of: function from a method to the finished row of its cell that is like this one
            but for the method; raises ValueError where there is none.
        backups: `recipe.StageBackups`, or None: a training that is broken off begins anew.
        taken: Counter of the training steps that each stage took, in all.
        notes: dict; what a method puts into it stands in the cell's row.
        levels: dict, to which a cascade adds its levels by name, as they were at its end.
        say: function that shows a line of progress, or None.
    """

    teacher: keras.Model
    network: str
    amount: float
    images: Any
    protocol: Protocol
    seed: int
    width: float = 1.0
    result_of: Callable[[str], Row] = _no_results
    backups: StageBackups | None = None
    taken: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    notes: Record = dataclasses.field(default_factory=dict)
    levels: dict[str, keras.Model] = dataclasses.field(default_factory=dict)
    say: Callable[[str], object] | None = None

    @property
    def settings(self) -> Settings:
        """The recipe's settings for this task."""
        return dataclasses.replace(
            self.protocol.settings, levels=(self.amount or 0.5,), seed=self.seed
        )

    @property
    def steps(self) -> int:
        """Training steps that every method takes."""
        return self.protocol.epochs * self.images.steps_per_epoch

    def callbacks(self, stage: str) -> list[keras.callbacks.Callback]:
        """What counts the steps of a stage and records its epochs, in Keras' `fit`."""
        return [_StepsTaken(stage, self.taken), self._epoch_records(stage)]

    def tf_keras_callbacks(self, stage: str) -> list[Any]:
        """The same, in `fit` of tf_keras."""
        import tf_keras

        records = self._epoch_records(stage)
        return [
            tf_keras.callbacks.LambdaCallback(
                on_train_begin=records.on_train_begin,
                on_train_batch_end=lambda batch, logs: self.taken.update({stage: 1}),
                on_epoch_end=records.add,
            )
        ]

    def backup(self, stage: str) -> TrainingBackup | None:
        """What a stage goes on from, as the recipe's stages take it."""
        return self.backups.of(stage) if self.backups else None

    def _epoch_records(self, stage):
        images = self.images if self.protocol.replicas == 1 else None
        records = self.notes.setdefault("epochs", [])
        return EpochRecords(stage, records, images, epochs_path(self.backups), self.say)


class _StepsTaken(keras.callbacks.Callback):
    """Notes the steps that a stage's optimizer took, those before a restart included."""

    def __init__(self, stage, taken):
        super().__init__()
        self._stage, self._taken = stage, taken

    def on_train_end(self, logs=None):
        self._taken[self._stage] = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
