"""CascadeCallback: when, during `fit`, the levels of a cascade are pruned."""

import numbers
import warnings
from collections.abc import Callable

import numpy as np
from keras import ops

from keras_cascade.cascade import processes
from keras_cascade.cascade.cascade_distiller import CascadeDistiller
from keras_cascade.cascade.level_records import log10_saliency
from keras_cascade.cascade.run_length import RunLengthCallback
from keras_cascade.cascade.schedules import PolynomialSchedule
from keras_cascade.cascade.tensorboard import EventFiles
from keras_cascade.typing import Logs, Path

_UPDATES = 50


class CascadeCallback(RunLengthCallback):
    """Updates the masks of a `CascadeDistiller` while it is trained.

    Between `begin` and `end`, every `frequency` steps, each level's channels are ranked anew and
    its masks set to what the schedule asks then; a channel that was removed stays so, unless the
    cascade has `hard_masks=False`. After `end` no mask changes, and the weights recover. At the end
    of every epoch the logs gain `<level>_macs` (the fraction of the MACs the level still costs;
    where the budget is another, `<level>_params` or `<level>_channels` too) and `<level>_flips`
    (channels whose mask changed in that epoch). A level that in the end misses its target by over
    1% of the budget is named, with the reason. A callback that restores weights of an earlier epoch
    (EarlyStopping with restore_best_weights) restores its masks too: let it start after `end`. A
    `fit` that ended begins the schedule anew when it is called again; one that was interrupted, or
    is restored from a backup, goes on with it.

    Args:
        begin: step after which pruning begins, `frequency` steps later: an int is a step, a float
            a fraction of training: of the epochs of the `fit` in which the schedule begins, without
            those before its `initial_epoch`.
        end: last step that prunes; likewise.
        frequency: steps between mask updates; None: about 50 updates in all.
        schedule: function from progress in [0, 1] to the share of each target; default:
            `PolynomialSchedule()`, cubic.
        slice_levels: whether levels are computed with slices of the weights from `end` on, so
            that steps cost less; see `CascadeDistiller.slice_levels`.
        log_dir: a folder for TensorBoard, or None. Every epoch gets the logs (`cascade/...`), the
            channels each level keeps (`kept_<level>/<group>`) and histograms of the logarithm of
            saliency (`saliency/<level>`), under its number from 0. What an earlier `fit` wrote
            there of the same epochs and later ones is replaced, so that a run that was broken off
            and gone on with has each once. Of several processes the first writes.

    Raises:
        ValueError: begin not before end, a fraction outside [0, 1], a frequency below 1; in
            `fit`, fractions with a data set of unknown length.
        TypeError: in `fit`, a model that is no `CascadeDistiller`.
        OSError: in `fit`, `log_dir` cannot be written.

    Example:

    ```python
    cascade.fit(train, epochs=30, callbacks=[kc.CascadeCallback(begin=0.1, end=0.7)])
    ```
    """

    def __init__(
        self,
        begin: float = 0.0,
        end: float = 0.6,
        frequency: int | None = None,
        schedule: Callable[[float], float] | None = None,
        slice_levels: bool = False,
        log_dir: Path | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("begin", begin), ("end", end)):
            is_step = isinstance(value, numbers.Integral) and value >= 0
            if not is_step and not (isinstance(value, numbers.Real) and 0.0 <= value <= 1.0):
                raise ValueError(
                    f"{name} must be a fraction of training in [0.0, 1.0] or a step (int) of at "
                    f"least 0, got {value!r}."
                )
        alike = isinstance(begin, numbers.Integral) == isinstance(end, numbers.Integral)
        if alike and begin >= end:
            raise ValueError(f"begin must come before end, got begin={begin}, end={end}.")
        if frequency is not None and not (
            isinstance(frequency, numbers.Integral) and frequency >= 1
        ):
            raise ValueError(f"frequency must be an int of at least 1 step, got {frequency!r}.")
        self.begin, self.end, self.frequency = begin, end, frequency
        self.schedule = schedule or PolynomialSchedule()
        self.slice_levels = slice_levels
        self.log_dir = log_dir

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if not isinstance(self.model, CascadeDistiller):
            raise TypeError(
                f"CascadeCallback prunes a CascadeDistiller; fit was called on "
                f"{type(self.model).__name__} '{self.model.name}'. Wrap the model: "
                "cascade = CascadeDistiller(model, levels=...), and fit that."
            )
        if not self.steps_per_epoch and not all(
            isinstance(point, numbers.Integral) for point in (self.begin, self.end)
        ):
            raise ValueError(
                "begin and end are fractions of training, but the data set's length is unknown. "
                "Pass steps_per_epoch to fit, or give begin and end as steps (int)."
            )
        self._cascade = self.model
        self._cascade.unslice_levels()
        self._done: int | None = None
        self._events: EventFiles | None = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self._done is None:  # only now: callbacks that restore a state do so at the beginning
            self._done = self._cascade.schedule_step
            self._plan(epoch)
            self._next = self._after(self._done)
            self._warn_of_late_end(epoch)
            self._slice_after_end()
            if self.log_dir is not None and processes.is_first():
                self._events = EventFiles(self.log_dir, first_step=epoch)
        self._steps_before = self._done
        self._flips = dict.fromkeys(self._cascade.level_names[1:], 0)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        # With steps_per_execution > 1 `batch` jumps: an update that was passed is made up for.
        self._done = self._cascade.schedule_step = self._steps_before + batch + 1
        if self._done < self._next or self._next > self._end:
            return
        at = min(self._done, self._end)
        progress = (at - self._begin) / (self._end - self._begin)
        # Reading self.model, not the name kept here, makes JAX write its state to the variables.
        for name, count in self.model.update_masks(self.schedule(progress)).items():
            self._flips[name] += count
        self._next = self._after(self._done)
        self._slice_after_end()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is None:
            return
        macs = ["macs"] if self.model.graph.has_fixed_input else []
        for budget in dict.fromkeys([self.model.budget, *macs]):
            for name, fraction in self.model.remaining(budget).items():
                logs[f"{name}_{budget}"] = fraction
        logs.update({f"{name}_flips": count for name, count in self._flips.items()})
        if self.log_dir is not None:
            self._write_events(epoch, logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._events is not None:
            self._events.close()
        self._cascade.schedule_step = 0
        self._cascade.unslice_levels()
        ended_early = self.model.stop_training
        if self._done is None or (self._done < self._end and not ended_early):
            return  # of an end after that of training was warned; or the run is gone on with
        for name, reason in self._cascade.misses().items():
            print(f"CascadeCallback: level '{name}': {reason}")

    def _plan(self, epoch):
        """Makes steps of `begin`, `end` and `frequency`, those the schedule began with."""
        # Of a schedule that is gone on with, the epochs it has run lie before this one.
        passed = self._done // (self.steps_per_epoch or 1)
        epochs = self.epochs - max(0, epoch - passed)
        self._begin, self._end = self._step(self.begin, epochs), self._step(self.end, epochs)
        if self._begin >= self._end:
            raise ValueError(
                f"Pruning would end at step {self._end}, not after it begins at {self._begin}. "
                "Train for more steps, or move begin and end apart."
            )
        self._every = self.frequency or max(1, (self._end - self._begin) // _UPDATES)

    def _slice_after_end(self):
        if self.slice_levels and self._done >= self._end:
            self.model.slice_levels()

    def _write_events(self, epoch, logs):
        scalars = {}
        for name, value in logs.items():
            # Of some metrics one for each class.
            for place, entry in np.ndenumerate(ops.convert_to_numpy(value)):
                scalars["/".join(map(str, ("cascade", name, *place)))] = float(entry)
        histograms = {}
        # In every process: what reads a variable has to run in all of them.
        for level in self.model.level_names[1:]:
            histograms[f"saliency/{level}"] = log10_saliency(self.model, level)
            for group, mask in self.model.masks(level).items():
                scalars[f"kept_{level}/{group}"] = float(mask.sum())
        if self._events is not None:
            self._events.write(epoch, scalars, histograms)

    def _after(self, step):
        """The first step after this one at which masks are updated; beyond the end: none is."""
        if step >= self._end:
            return self._end + 1
        periods = max(0, step - self._begin) // self._every
        return min(self._begin + (periods + 1) * self._every, self._end)

    def _warn_of_late_end(self, epoch):
        total = (self.epochs - epoch) * (self.steps_per_epoch or 0)
        if total and self._end > total and not self._done:
            warnings.warn(
                f"Pruning ends at step {self._end}, training already at step {total}: the levels "
                "will miss their targets. Lower end, or train longer.",
                stacklevel=2,
            )

    def _step(self, point, epochs):
        if isinstance(point, numbers.Integral):
            return int(point)
        return round(point * (epochs * self.steps_per_epoch))
