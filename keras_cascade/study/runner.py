"""StudyRunner: trains the cells of a grid, one after the other, and loses nothing.

A cell's result depends on its seed and on nothing that ran before it: data and random state begin
anew, and the teacher is always read from its file. So a study that was killed and started again
gives the rows of one that was not.
"""

import collections
import contextlib
import dataclasses
import gc
import itertools
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import keras

from keras_cascade import recipe, report
from keras_cascade.cascade import NonFiniteLossError
from keras_cascade.deploy import measure_latency, write_litert
from keras_cascade.profile import gzipped_bytes, profile
from keras_cascade.study.grid import Grid, name_and_width
from keras_cascade.study.methods import (
    METHODS,
    ON_ONE_REPLICA,
    TEACHERS,
    Task,
    check_reachable,
)
from keras_cascade.study.protocol import Protocol
from keras_cascade.study.records import Records
from keras_cascade.study.teachers import TeacherChangedError, Teachers
from keras_cascade.surgery import copy_model
from keras_cascade.typing import ContextMaker, Path, Row

_LATENCY_RUNS = 200
_as_it_is = contextlib.nullcontext


class StudyRunner:
    """Runs a study into a folder.

    Writes `results.jsonl` there, a line a finished cell, and `teachers/`. Cells that have a
    result there are not run again; those that failed are.

    Args:
        grid: `Grid`.
        protocol: `Protocol`.
        folder: output folder; it is made where it is missing.
        data_dir: of TFDS; None is its own.
        say: function that shows a line of progress.
        quietly: function that makes a context manager, in which each cell is run; it may hold back
            what the converters of other libraries write.
        make_scope: function that makes the context of a `tf.distribute` strategy, in which all is
            trained but what TF-MOT trains; see `recipe.distribution_scopes`.

    Attributes:
        records: the study's `Records`.

    Raises:
        ValueError: results of other settings are in the folder.
        TeacherChangedError: in `run`, a teacher in the folder is not the one that finished cells
            of it started from.

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
    ) -> None:
        self.grid, self.protocol, self.folder = grid, protocol, pathlib.Path(folder)
        self.records = Records(self.folder / "results.jsonl", protocol.as_dict())
        self._say, self._quietly, self._make_scope = say, quietly, make_scope
        self._teachers = Teachers(self.folder / "teachers", protocol, data_dir, say, make_scope)

    def check(self) -> None:
        """Finds what cannot be run before any training: names, data, amounts out of reach.

        Raises:
            ValueError: an unknown model or data set; an amount that a method cannot reach.
            FileNotFoundError: a data set that is not there and cannot be downloaded.
        """
        seed = self.grid.seeds[0]
        pruning = [method for method in self.grid.methods if method not in TEACHERS]
        for dataset in self.grid.datasets:
            images = self._teachers.images(dataset, seed)
            for model in self.grid.models:
                untrained = self._teachers.untrained(model, images, seed)
                for method, amount in itertools.product(pruning, self.grid.amounts):
                    try:
                        check_reachable(self._task(untrained, model, amount, images, seed), method)
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
        for sentence in self.records.damaged:
            self._say(sentence)
        cells = self.grid.cells()
        pending = [cell for cell in cells if not self.records.finished(cell)]
        finished = len(cells) - len(pending)
        if finished:
            self._say(f"{finished} of {len(cells)} cells are finished already.")
        for index, cell in enumerate(pending):
            self._say(f"[{finished + index + 1}/{len(cells)}] {cell}")
            with self._quietly():
                row = self._run_cell(cell)
            self._say(f"    {_outcome(row)}; {self._left(pending[index + 1 :])}")
        return self.records.rows

    def _run_cell(self, cell):
        _forget_models()
        started = time.monotonic()
        try:
            teacher = self._teachers.of(cell)
            self._check_teacher(cell, teacher)
            result = self._trained(cell, teacher)
        except (ValueError, RuntimeError, NonFiniteLossError) as error:
            result = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        row = {
            **dataclasses.asdict(cell),
            **result,
            "wall_seconds": round(time.monotonic() - started, 2),
            "settings": self.protocol.as_dict(),
            "versions": report.versions(),
        }
        self.records.append(row)
        return row

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
                    f"'{self.folder / 'teachers'}' has changed since. Put it back, or choose "
                    "another output folder."
                )

    def _trained(self, cell, teacher):
        keras.utils.set_random_seed(cell.seed)
        images = self._teachers.images(cell.dataset, cell.seed)
        steps = collections.Counter()
        task = self._task(
            teacher.model, cell.model, cell.amount, images, cell.seed, lambda: steps.update(taken=1)
        )
        on_replicas = self.protocol.replicas > 1
        if on_replicas and cell.method in ON_ONE_REPLICA:
            self._say("    on one replica: TF-MOT trains outside the strategy")
            on_replicas = False
        started = time.monotonic()
        with self._make_scope() if on_replicas else _as_it_is():
            model = METHODS[cell.method](task)
        seconds = time.monotonic() - started
        if on_replicas:  # variables made under a strategy cannot be exported
            model = copy_model(model)
        expected = 0 if cell.method == "teacher" else task.steps
        if steps["taken"] != expected:
            raise AssertionError(
                f"{cell} took {steps['taken']} training steps and not {expected}: the methods "
                "would not be compared fairly."
            )
        return {
            **self._measured(model, teacher, images),
            "steps": steps["taken"],
            "seconds": round(seconds, 2),
        }

    def _measured(self, model, teacher, images):
        sizes = profile(model)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="tmp_") as folder:
            litert = pathlib.Path(folder, "model.tflite")
            write_litert(model, litert)
            zipped = gzipped_bytes(litert)
            # In turns with the teacher: their ratio holds on a machine that does other work too.
            latency = measure_latency(
                {"teacher": teacher.litert, "model": litert}, runs=_LATENCY_RUNS
            )
        return {
            "accuracy": recipe.accuracy_on_test(model, images),
            "teacher_accuracy": teacher.figures["accuracy"],
            "params": sizes.params,
            "nonzero_params": sizes.nonzero_params,
            "teacher_params": teacher.figures["params"],
            "macs": sizes.macs,
            "teacher_macs": teacher.figures["macs"],
            "bytes": sizes.bytes,
            "gzipped_bytes": zipped,
            "teacher_gzipped_bytes": teacher.figures["gzipped_bytes"],
            "latency_ms": latency["model"].median_ms,
            "teacher_latency_ms": latency["teacher"].median_ms,
        }

    def _task(self, teacher, model, amount, images, seed, count_step=lambda: None):
        return Task(
            teacher=teacher,
            network=name_and_width(model)[0],
            amount=amount,
            # The test split is for the result alone.
            images=dataclasses.replace(images, test=None),
            protocol=self.protocol,
            seed=seed,
            count_step=count_step,
        )

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
    return (
        f"accuracy {row['accuracy']:.2%} (teacher {row['teacher_accuracy']:.2%}), "
        f"{row['nonzero_params']:,} params not zero, {row['wall_seconds']:.0f} s"
    )


def _duration(seconds):
    minutes = max(1, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _forget_models():
    """Frees what the cell before left in the global state of Keras and of tf_keras."""
    for library in ("keras", "tf_keras"):
        if library in sys.modules:
            sys.modules[library].backend.clear_session()
    gc.collect()
