"""StudyRunner: trains the cells of a grid, one after the other, and loses nothing.

A cell's result depends on its seed and on nothing that ran before it: data and random state begin
anew, and the teacher is always read from its file. So, on a device that computes the same twice, a
study that was killed and started again gives the rows of one that was not.
"""

import collections
import contextlib
import dataclasses
import gc
import importlib.util
import itertools
import pathlib
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import keras

from keras_cascade import report
from keras_cascade.cascade import NonFiniteLossError
from keras_cascade.study.backups import backups_of, read_epochs, seconds_of
from keras_cascade.study.grid import Cell, Grid, name_and_width
from keras_cascade.study.measurement import measure, measure_levels
from keras_cascade.study.methods import (
    METHODS,
    NEED_RESULTS,
    TEACHERS,
    WEIGHT_PRUNING,
    check_reachable,
)
from keras_cascade.study.protocol import Protocol
from keras_cascade.study.records import Records
from keras_cascade.study.task import Task
from keras_cascade.study.teachers import TeacherChangedError, Teachers
from keras_cascade.surgery import copy_model
from keras_cascade.typing import ContextMaker, Path, Row

_as_it_is = contextlib.nullcontext


class StudyRunner:
    """Runs a study into a folder.

    Writes `results.jsonl` there, a line a finished cell, and `teachers/`. Cells that have a
    result there are not run again; those that failed are. Where TF-MOT is not installed, weight
    pruning is left out and that is said.

    Args:
        grid: `Grid`.
        protocol: `Protocol`.
        folder: output folder; it is made where it is missing.
        data_dir: of TFDS; None is its own.
        say: function that shows a line of progress: each cell, and within a long one once a minute.
        quietly: function that makes a context manager, in which each cell is run; it may hold back
            what the converters of other libraries write.
        make_scope: function that makes the context of a `tf.distribute` strategy, in which all is
            trained but what TF-MOT trains; see `recipe.distribution_scopes`.
        results: name of the file of results.
        teachers: folder of the teachers; None: in `folder`. Studies may share it.
        decoded: folder of decoded data sets, for where TensorFlow is not; see `data.load`.
        others: names of other studies' files of results in the folder, which need not exist. A
            cell that one of them has, trained with the same settings from the same teacher, is
            taken over and not trained again.
        backup_every: steps between the states from which a training that is broken off goes on,
            besides those of every epoch; None: it begins anew. With them images come in the order
            of `ImageData.from_epoch`. What TF-MOT trains always begins anew. A row of a training
            that went on says "resumed", and its seconds lack those of the epoch so broken off.

    Attributes:
        records: the study's `Records`.

    Raises:
        ValueError: results of other settings, of another variant of a name, or of another backend
            are in the folder.
        TeacherChangedError: in `run`, a teacher in the folder is not the one that finished cells
            of it started from, or was trained in another way.

    Example:

    ```python
    runner = StudyRunner(grid, Protocol(), "runs/study")
    runner.check()
    rows = runner.run()
    ```
    """

    def __init__(
        self,
        grid: Grid,
        protocol: Protocol,
        folder: Path,
        data_dir: Path | None = None,
        say: Callable[[str], object] = print,
        quietly: ContextMaker = _as_it_is,
        make_scope: ContextMaker = _as_it_is,
        results: str = "results.jsonl",
        teachers: Path | None = None,
        decoded: Path | None = None,
        others: Sequence[str] = (),
        backup_every: int | None = None,
    ) -> None:
        self.grid, self.protocol, self.folder = grid, protocol, pathlib.Path(folder)
        self._protocols = {
            method: grid.variant(method).applied_to(protocol) for method in grid.methods
        }
        backend = keras.backend.backend()
        self.records = Records(self.folder / results, protocol.as_dict(), backend)
        self._others = [self.folder / name for name in others]
        self._check_variants()
        self._say, self._quietly, self._make_scope = say, quietly, make_scope
        self._backup_every = backup_every
        self._teachers = Teachers(
            teachers or self.folder / "teachers",
            protocol,
            data_dir,
            decoded,
            say,
            make_scope,
            backup_every,
        )

    def check(self) -> None:
        """Finds what cannot be run before any training: names, data, amounts out of reach.

        Raises:
            ValueError: an unknown model or data set; an amount that a method cannot reach; a
                method that goes by the result of one that does not come before it.
            FileNotFoundError: a data set that is not there and cannot be downloaded.
        """
        methods = [method for method in self.grid.methods if self._can_run(method)]
        self._check_order(methods)
        seed = self.grid.seeds[0]
        pruning = [method for method in methods if self._base(method) not in TEACHERS]
        for dataset in self.grid.datasets:
            images = self._teachers.images(dataset, seed)
            for model in self.grid.models:
                untrained = self._teachers.untrained(model, images, seed)
                for method, amount in itertools.product(pruning, self.grid.amounts):
                    cell = Cell(model, dataset, method, amount, seed)
                    try:
                        check_reachable(self._task(cell, untrained, images), self._base(method))
                    except ValueError as error:
                        raise ValueError(
                            f"{dataset} {model} {method} {amount:g}: {error} Take a smaller "
                            "amount or a wider network, or leave the method out."
                        ) from error

    def run(self) -> list[Row]:
        """Runs the cells that have no result yet.

        Returns:
            List of all rows in the folder, those of earlier runs included.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for sentence in self.records.damaged:
            self._say(sentence)
        cells = self._runnable(self.grid.cells())
        pending = [cell for cell in cells if not self.records.finished(cell)]
        finished, others = len(cells) - len(pending), [Records(path) for path in self._others]
        if finished:
            self._say(f"{finished} of {len(cells)} cells are finished already.")
        for index, cell in enumerate(pending):
            self._say(f"[{finished + index + 1}/{len(cells)}] {cell}")
            row = self._taken_over(cell, others)
            if row is None:
                with self._quietly():
                    row = self._run_cell(cell)
            self.records.append(row)
            if "error" not in row:
                self._delete_backup(cell)
            self._say(f"    {_outcome(row)}; {self._left(pending[index + 1 :])}")
        return self.records.rows

    def failed(self) -> list[Cell]:
        """The cells of the grid that ended in an error; `run` tries them again."""
        return [cell for cell in self.grid.cells() if self.records.failed(cell)]

    def _base(self, method):
        """The name in `METHODS` of what a method or variant does."""
        return self.grid.variant(method).method

    def _check_variants(self):
        """Finished cells of a variant must have been run with what it is now."""
        for row in self.records.rows:
            variant = self.grid.variants.get(row["method"])
            if variant and "error" not in row and row.get("variant") != variant.as_dict():
                raise ValueError(
                    f"{self.records.path} holds results of another variant '{row['method']}', "
                    f"{row.get('variant')}; it is {variant.as_dict()} here. Give it another name, "
                    "or choose another output folder."
                )

    def _check_order(self, methods):
        before = []
        for method in methods:
            protocol, base = self._protocols[method], self._base(method)
            free = base in WEIGHT_PRUNING and protocol.settings.budget == "params"
            if base in NEED_RESULTS and not free and protocol.shape_of not in before:
                raise ValueError(
                    f"{method} goes by the result of '{protocol.shape_of}' (shape_of), which must "
                    "stand before it among the methods."
                )
            before.append(method)

    def _can_run(self, method):
        has_tfmot = importlib.util.find_spec("tensorflow_model_optimization") is not None
        return has_tfmot or self._base(method) not in WEIGHT_PRUNING

    def _runnable(self, cells):
        left_out = {cell.method for cell in cells if not self._can_run(cell.method)}
        if left_out:
            self._say(f"TF-MOT is not installed; left out: {', '.join(sorted(left_out))}.")
        return [cell for cell in cells if cell.method not in left_out]

    def _run_cell(self, cell):
        _forget_models()
        started = time.monotonic()
        try:
            teacher = self._teachers.of(cell)
            self._check_teacher(cell, teacher)
            result = self._trained(cell, teacher)
        except _failures() as error:
            result = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        if cell.method in self.grid.variants:
            result["variant"] = self.grid.variants[cell.method].as_dict()
        return {
            **dataclasses.asdict(cell),
            **result,
            "wall_seconds": round(time.monotonic() - started, 2),
            "settings": self.protocol.as_dict(),
            "versions": report.versions(),
            "device": report.device(),
        }

    def _taken_over(self, cell, others):
        """A row of another study that is this cell's by all but the method's name, or None."""
        variant = self.grid.variant(cell.method)
        if variant.method in NEED_RESULTS:  # what they go by is known by its name alone
            return None
        for records in others:
            row = records.made_as(cell, self.protocol.as_dict(), variant.as_dict())
            if row is not None:
                return {**row, "method": cell.method, "taken_from": records.path.name}
        return None

    def _check_teacher(self, cell, teacher):
        """A teacher that was lost and trained anew must be the one that finished cells had."""
        for row in self.records.rows:
            same = (row["model"], row["dataset"], row["seed"]) == cell.teacher
            if (
                same
                and row.get("teacher_accuracy", teacher.figures["accuracy"])
                != (teacher.figures["accuracy"])
            ):
                raise TeacherChangedError(
                    f"The teacher of {cell} has accuracy {teacher.figures['accuracy']}, the one "
                    f"that finished cells of it started from {row['teacher_accuracy']}: "
                    f"'{self._teachers.folder}' has changed since. Put it back, or choose "
                    "another output folder."
                )

    def _trained(self, cell, teacher):
        keras.utils.set_random_seed(cell.seed)
        images = self._teachers.images(cell.dataset, cell.seed)
        method = self._base(cell.method)
        backups = None if method in (*WEIGHT_PRUNING, "teacher") else self._backups(cell, teacher)
        task = self._task(cell, teacher.model, images, backups)
        on_replicas = self.protocol.replicas > 1
        if on_replicas and method in WEIGHT_PRUNING:
            self._say("    on one replica: TF-MOT trains outside the strategy")
            on_replicas = False
        before = list(task.notes.get("epochs", ()))
        started = time.monotonic()
        with self._make_scope() if on_replicas else _as_it_is():
            model = METHODS[method](task)
        seconds = time.monotonic() - started + seconds_of(before, task.notes.get("epochs", []))
        if on_replicas:  # variables made under a strategy cannot be exported
            model = copy_model(model)
        expected = 0 if method == "teacher" else task.steps
        taken = task.taken.total()
        if taken != expected:
            raise AssertionError(
                f"{cell} took {taken} training steps and not {expected}: the methods "
                "would not be compared fairly."
            )
        return {
            **measure(model, teacher, images, self.protocol.litert, self.folder),
            **({"levels": measure_levels(task.levels, images)} if task.levels else {}),
            **task.notes,
            **({"epochs": teacher.figures["epochs"]} if method == "teacher" else {}),
            "steps": taken,
            **({"resumed": True} if backups and backups.resumed else {}),
            "seconds": round(seconds, 2),
        }

    def _backup_folder(self, cell):
        name = "_".join(map(str, dataclasses.astuple(cell))).replace("/", "-")
        return self.folder / f"{self.records.path.stem}_backup" / name

    def _delete_backup(self, cell):
        folder = self._backup_folder(cell)
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another run of the same study may have others there
            folder.parent.rmdir()

    def _backups(self, cell, teacher):
        configuration = {
            "settings": self._protocols[cell.method].as_dict(),
            "teacher_accuracy": teacher.figures["accuracy"],
            "backend": keras.backend.backend(),
        }
        backups = backups_of(self._backup_folder(cell), configuration, self._backup_every)
        if backups and backups.resumed:
            self._say("    going on where it was broken off")
        return backups

    def _task(self, cell, teacher, images, backups=None):
        network, width = name_and_width(cell.model)
        protocol = self._protocols[cell.method]
        return Task(
            teacher=teacher,
            network=network,
            width=width,
            amount=cell.amount,
            # The test split is for the result alone, or to be looked at.
            images=images if protocol.watch_test else dataclasses.replace(images, test=None),
            protocol=protocol,
            seed=cell.seed,
            result_of=lambda method: self._result_of(dataclasses.replace(cell, method=method)),
            backups=backups,
            notes={"epochs": epochs} if (epochs := read_epochs(backups)) else {},
            say=self._say,
        )

    def _result_of(self, cell):
        if not self.records.finished(cell):
            raise ValueError(f"It goes by the result of '{cell}', which there is not.")
        return self.records.row(cell)

    def _left(self, cells):
        """How long the remaining cells will take, judged by those that are finished, in words."""
        if not cells:
            return "that was the last"
        seconds = collections.defaultdict(list)
        for row in self.records.rows:
            for kind in ((row["model"], row["method"]), None):
                seconds[kind].append(row["wall_seconds"])
        means = {kind: statistics.mean(values) for kind, values in seconds.items()}
        expected = sum(means.get((cell.model, cell.method), means[None]) for cell in cells)
        return f"{len(cells)} to go, about {_duration(expected)}"


def _outcome(row):
    if "error" in row:
        return f"failed: {row['error']}"
    if "taken_from" in row:
        return f"taken from {row['taken_from']}"
    return (
        f"accuracy {row['accuracy']:.2%} (teacher {row['teacher_accuracy']:.2%}), "
        f"{row['nonzero_params']:,} params not zero, {row['wall_seconds']:.0f} s"
    )


def _failures():
    """What one cell may end in without ending the study: it is recorded and tried again."""
    tensorflow = sys.modules.get("tensorflow")
    of_tensorflow = (tensorflow.errors.OpError,) if tensorflow else ()  # out of memory is one
    return (ValueError, RuntimeError, MemoryError, NonFiniteLossError, *of_tensorflow)


def _duration(seconds):
    minutes = max(1, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _forget_models():
    """Frees what the cell before left in the global state of Keras and of tf_keras."""
    for library in ("keras", "tf_keras"):
        if sys.modules.get(library):
            sys.modules[library].backend.clear_session()
    gc.collect()
