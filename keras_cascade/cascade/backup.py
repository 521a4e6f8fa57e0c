"""TrainingBackup: a run that is killed at any moment goes on as if it had never been.

One file holds a whole state: weights, optimizer, seed generators, the position and the logs so far.
It is written under a temporary name and renamed once it is on the disk; the name carries its
position and the digest of its bytes. So a file under a final name is whole, one that was damaged
later is found out, and the one before it is still there. The format is NumPy's: HDF5, which Keras'
own checkpoints are in, can bring the process down when the disk is full.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_cascade.cascade import processes
from keras_cascade.cascade.guard import NonFiniteLossError, guarded_fit
from keras_cascade.cascade.run_length import RunLengthCallback, run_of
from keras_cascade.cascade.seeds import seed_states
from keras_cascade.typing import Logs, Path

_NAME = re.compile(r"epoch_(\d+)_batch_(\d+)_([0-9a-f]{16})\.npz")
_REST = "rest"


class TrainingInterrupted(KeyboardInterrupt):
    """Training was ended by a signal after a whole step, and a backup was written."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a backup was made.

    Attributes:
        epoch: epochs that were finished.
        batch: batches of the next one that were.
        logs: list of the finished epochs' logs, one dict each.
        ended: whether a callback had stopped training there (`stop_training`).
    """

    epoch: int = 0
    batch: int = 0
    logs: list = dataclasses.field(default_factory=list)
    ended: bool = False


class TrainingBackup(RunLengthCallback):
    """Keeps the last states of a run in a folder, and puts the newest whole one back.

    Unlike `keras.callbacks.BackupAndRestore` it can go on in the middle of an epoch, keeps the
    state of dropout's random numbers, and survives a kill while it writes. It must be the last of
    the callbacks, so that what the others did in a step is in the state of that step. What they
    count themselves is not kept: an `EarlyStopping` that is gone on with has its patience anew. A
    run that a callback ended stays ended. The last state is of the end of training, of weights that
    others put back then. Of several processes the first writes, and all read.

    On PyTorch give `Dropout` layers a `seed`: without one they draw from the process's generator,
    which is not kept, and the run that is gone on with has other random numbers. Of an
    epoch that was broken off, training logs are of the steps that remained: what metrics had
    gathered is not kept.

    Args:
        folder: where the states are kept; it is made where it is missing. Machines must share it.
        every: steps between backups, besides those at the end of every epoch; None: only those.
        keep: how many of the newest states stay, at least 2.

    Raises:
        ValueError: `every` below 1 or `keep` below 2.
        OSError: in `fit`, a state cannot be written; those before it are whole.
        NonFiniteLossError: in `fit`, a weight is NaN or infinite; the state is not written.

    Example:

    ```python
    backup = kc.TrainingBackup("runs/backup", every=1000)
    logs = backup.fit(
        cascade,
        lambda epochs: train.repeat(),  # in the same order in every epoch, whatever its number
        steps_per_epoch=len(train),
        epochs=30,
        callbacks=[kc.CascadeCallback()],
    )
    ```
    """

    def __init__(self, folder: Path, every: int | None = None, keep: int = 2) -> None:
        super().__init__()
        if every is not None and every < 1:
            raise ValueError(f"every must be at least 1 step, got {every}.")
        if keep < 2:
            raise ValueError(f"keep must be at least 2, for when the last is damaged; got {keep}.")
        self._folder, self._every, self._keep = pathlib.Path(folder), every, keep
        self._start, self._signal = Position(), None

    def fit(
        self,
        trainer: keras.Model,
        batches_after: Callable[[int], Any],
        *,
        steps_per_epoch: int,
        epochs: int,
        callbacks: Iterable[keras.callbacks.Callback] = (),
        **kwargs: Any,
    ) -> dict[str, list[Any]]:
        """`trainer.fit` that goes on where the newest state was made.

        SIGINT and SIGTERM end it after the step, with a state; see `listening`.

        Args:
            trainer: a built and compiled `keras.Model`.
            batches_after: function from a number of finished epochs to the `tf.data.Dataset` of
                the batches that follow, of one epoch at least; the same each time it is asked.
            steps_per_epoch: how many batches are one epoch.
            epochs: how many there are in all, those before a restart included.
            callbacks: further callbacks.
            **kwargs: further arguments of `trainer.fit`.

        Returns:
            `history()`.

        Raises:
            TrainingInterrupted: a signal came.
            NonFiniteLossError, ValueError, DataError: as `GuidedTrainer.fit`, for any model.
        """
        start, callbacks = self.restore(trainer), [*callbacks, self]
        with self.listening(), run_of(callbacks, epochs, steps_per_epoch):
            if start.batch:
                guarded_fit(
                    trainer.fit,
                    batches_after(start.epoch).skip(start.batch),
                    steps_per_epoch=steps_per_epoch - start.batch,
                    initial_epoch=start.epoch,
                    epochs=start.epoch + 1,
                    callbacks=callbacks,
                    **kwargs,
                )
                start = self.restore(trainer)
            guarded_fit(
                trainer.fit,
                batches_after(start.epoch),
                steps_per_epoch=steps_per_epoch,
                initial_epoch=start.epoch,
                epochs=start.epoch if start.ended else epochs,
                callbacks=callbacks,
                **kwargs,
            )
        return self.history()

    def restore(self, trainer: keras.Model) -> Position:
        """Puts the newest whole state back.

        Args:
            trainer: a built and compiled `keras.Model`, made as when the state was written.

        Returns:
            `Position`; epoch 0, batch 0 where there is no state.

        Raises:
            ValueError: the state is of another model, or not all processes found the same one.
        """
        processes.wait_for_all("restore")  # until the first has written
        path = self._newest_whole()
        processes.check_alike(
            path.name if path else "no state",
            f"The processes found different states in '{self._folder}', here "
            f"{path.name if path else 'none'}. It must be one folder that all machines share.",
        )
        self._start = _load(path, trainer) if path else Position()
        return self._start

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Within it, SIGINT and SIGTERM end training after the step, with a backup.

        A second signal acts at once. Only the main thread of a process can listen.

        Raises:
            TrainingInterrupted: such a signal came.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handled = signal.SIGINT, signal.SIGTERM
        before = {number: signal.getsignal(number) for number in handled}

        def note(number, frame):
            self._signal = number
            signal.signal(number, before[number])

        for number in handled:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number in handled:
                signal.signal(number, before[number])
            came, self._signal = self._signal, None
        if came is not None:  # while the last state was written or read: it is whole
            raise self._interrupted(came, "training")

    # What Keras calls

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._logs, self._due = list(self._start.logs), self._every
        self._over = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch
        # An epoch that is gone on with in the middle counts its batches from there.
        self._done = self._before = self._start.batch if epoch == self._start.epoch else 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        passed = self._before + batch + 1 - self._done
        self._done += passed
        if batch + 1 == self.params.get("steps"):
            return  # the epoch's end is next, and has a backup of its own
        if self._signal is not None:
            self._stop(self._epoch, self._done)
        if self._every:
            self._due -= passed  # more than 1 with steps_per_execution
            if self._due <= 0:
                self._due = self._every
                self._save(self._epoch, self._done)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._signal is not None:  # the epoch's results are lost, its training is not
            self._logs.append({})
            self._stop(self._epoch + 1, 0)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        # A metric may give a value for each class.
        self._logs.append(
            {name: ops.convert_to_numpy(value).tolist() for name, value in (logs or {}).items()}
        )
        self._over = self.model.stop_training or epoch + 1 == self.epochs
        if self._over:
            return  # saved at the end of training: others may put weights back then
        if self._signal is not None:
            self._stop(epoch + 1, 0)
        self._save(epoch + 1, 0)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._over:
            self._save(self._epoch + 1, 0, ended=self.model.stop_training)

    def history(self) -> dict[str, list[Any]]:
        """The logs of all epochs, those before a restart included: dict from name to a list."""
        names = dict.fromkeys(name for logs in self._logs for name in logs)
        return {name: [logs[name] for logs in self._logs if name in logs] for name in names}

    # Pieces

    def _stop(self, epoch, batch):
        number = self._signal
        self._save(epoch, batch)
        where = f"batch {batch} of epoch {epoch + 1}" if batch else f"epoch {epoch}"
        raise self._interrupted(number, where)

    def _interrupted(self, number, where):
        return TrainingInterrupted(
            f"Stopped by {signal.Signals(number).name} after {where}; the state is in "
            f"'{self._folder}'. Run the same again to go on from there.",
            number,
        )

    def _save(self, epoch, batch, ended=False):
        # Reading self.model makes JAX write its state to the variables.
        variables = _variables(self.model)
        arrays = {key: ops.convert_to_numpy(variable) for key, variable in variables.items()}
        self._check_finite(variables, arrays, epoch, batch)
        if not processes.is_first():
            return
        temporary = self._folder / ".unfinished.npz"
        rest = {
            "epoch": epoch,
            "batch": batch,
            "logs": self._logs,
            "ended": ended,
            "schedule_step": getattr(self.model, "schedule_step", 0),
        }
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                np.savez(file, **{_REST: np.array(json.dumps(rest))}, **arrays)
                file.flush()
                os.fsync(file.fileno())
            name = f"epoch_{epoch:05d}_batch_{batch:07d}_{_digest(temporary)}.npz"
            temporary.replace(self._folder / name)
            _rename_to_disk(self._folder)
        except OSError as error:
            with contextlib.suppress(OSError):  # a folder that cannot be made holds nothing
                temporary.unlink(missing_ok=True)
            raise OSError(
                f"No backup could be written to '{self._folder}': {error}. The states before it "
                "are whole: make room, and run the same again to go on from the last of them."
            ) from error
        for path in self._states()[self._keep :]:
            path.unlink()

    def _newest_whole(self):
        for path in self._states():
            if _digest(path) == _NAME.fullmatch(path.name)[3]:
                return path
            print(f"TrainingBackup: '{path}' is damaged; the state before it is taken.")
        return None

    def _check_finite(self, variables, arrays, epoch, batch):
        """A step can spoil the weights with a loss that still was finite; the next one shows it."""
        trained = set(map(id, self.model.trainable_variables))
        for key, variable in variables.items():
            if id(variable) in trained and not np.isfinite(arrays[key]).all():
                raise NonFiniteLossError(
                    f"'{variable.path}' became NaN or infinite by batch {batch} of epoch "
                    f"{epoch + 1}. The states in '{self._folder}' are of before. Lower the "
                    "learning rate, clip gradients (clipnorm), or look for bad values in the data."
                )

    def _states(self):
        """The paths of all states, the newest first."""
        if not self._folder.is_dir():
            return []
        found = {path: _NAME.fullmatch(path.name) for path in self._folder.iterdir()}
        at = {path: (int(match[1]), int(match[2])) for path, match in found.items() if match}
        return sorted(at, key=at.get, reverse=True)


def _variables(trainer):
    """All that changes in training, by a key that a model made alike gives again."""
    lists = (trainer.weights, trainer.optimizer.variables, seed_states(trainer))
    return {
        f"{number}_{index}": variable
        for number, variables in enumerate(lists)
        for index, variable in enumerate(variables)
    }


def _load(path, trainer):
    if not trainer.optimizer.built:
        trainer.optimizer.build(trainer.trainable_variables)
    variables = _variables(trainer)
    with np.load(path) as file:
        arrays = dict(file)
    rest = json.loads(str(arrays.pop(_REST)))
    shapes = {key: tuple(array.shape) for key, array in arrays.items()}
    if shapes != {key: tuple(variable.shape) for key, variable in variables.items()}:
        raise ValueError(
            f"The backup '{path}' is of another model or optimizer than '{trainer.name}' has. "
            "Choose another folder, or delete it to begin anew."
        )
    for key, variable in variables.items():
        # NumPy knows no bfloat16 and gives its bytes.
        kind = keras.backend.standardize_dtype(variable.dtype)
        is_raw = arrays[key].dtype.kind == "V"
        variable.assign(arrays[key].view(kind) if is_raw else arrays[key])
    if hasattr(trainer, "schedule_step"):
        trainer.resume_schedule(rest["schedule_step"])
    return Position(rest["epoch"], rest["batch"], rest["logs"], rest["ended"])


def _digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _rename_to_disk(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
