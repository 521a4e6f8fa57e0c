"""FiniteLossGuard: a training run that diverges stops, says where, and keeps its last good state.

A snapshot is good only once a later loss computed with it was finite, so two are held: the good
one and the one still on trial. The loss alone does not tell: a ReLU can make 0 of NaN (TensorFlow's
does on a CPU), and every weight be lost under a finite loss. So what is kept is looked at too.
"""

from collections.abc import Iterable
from typing import TypeAlias

import keras
import numpy as np
from keras import ops

from keras_cascade.cascade import data_faults
from keras_cascade.typing import Floats, Logs

# A step, pairs of a variable and its value, and how far a cascade's schedule had come.
_Snapshot: TypeAlias = tuple[int, list[tuple[keras.Variable, Floats]], int | None]


class NonFiniteLossError(ArithmeticError):
    """The loss, or a weight, became NaN or infinite; the message says what state is left."""


class FiniteLossGuard(keras.callbacks.Callback):
    """Stops training when the loss or a weight is NaN or infinite, the last good weights restored.

    The loss is looked at in every step, the weights whenever a snapshot is taken and at the end of
    every epoch.

    Args:
        every: steps between snapshots of the weights and the optimizer's state; one is taken at
            the beginning of every epoch too. A snapshot costs one copy of both in memory.

    Raises:
        ValueError: `every` is below 1; in `fit`, an epoch or a validation without any data.
        NonFiniteLossError: in `fit`, the loss or a weight became NaN or infinite, or a weight that
            is trained was so from the beginning.

    Example:

    ```python
    model.fit(train, epochs=3, callbacks=[FiniteLossGuard()])
    ```
    """

    def __init__(self, every: int = 200) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every must be at least 1 step, got {every}.")
        self._every = every
        self._epoch: int | None = None
        self._batch = -1
        self._tested: int | None = None

    def where(self) -> str:
        """How far training has come, in words."""
        if self._epoch is None:
            return "before the first step"
        if self._tested is not None:
            return f"in the validation of epoch {self._epoch + 1}, after batch {self._tested}"
        return f"after {self._position()}"

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if self.params.get("steps") == 0:
            raise ValueError(data_faults.empty("training"))
        self._steps = 0
        self._epoch, self._tested = None, None
        self._good: _Snapshot | None = None
        self._on_trial: _Snapshot | None = None
        self._constants: set[int] = set()
        optimizer = self.model.optimizer
        if self.model.built and not optimizer.built:  # its state is part of what is kept
            optimizer.build(self.model.trainable_variables)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch, self._batch = epoch, -1
        self._snapshot()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._steps += batch - self._batch  # more than 1 with steps_per_execution
        self._batch = batch
        loss = float((logs or {}).get("loss", 0.0))
        if not np.isfinite(loss):
            self._stop(f"The loss became {loss}", f"at {self._position()}")
        self._good = self._on_trial
        if self._steps - self._on_trial[0] >= self._every:
            self._snapshot()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._tested = 0

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._tested = batch + 1

    def on_test_end(self, logs: Logs | None = None) -> None:
        tested, self._tested = self._tested, None
        if not tested:
            raise ValueError(data_faults.empty("validation"))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self._batch < 0:
            self._put_back()  # TensorFlow may have begun a step before it found no batch for it
            raise ValueError(f"Epoch {epoch + 1}: {data_faults.empty('training')}")
        self._check_weights((weight, ops.convert_to_numpy(weight)) for weight in self.model.weights)
        loss = float((logs or {}).get("val_loss", 0.0))
        if not np.isfinite(loss):
            self._stop(f"The loss became {loss}", f"in the validation of epoch {epoch + 1}")

    def _position(self):
        return f"step {self._steps} (epoch {self._epoch + 1}, batch {self._batch + 1})"

    def _snapshot(self):
        if self._on_trial is None or self._on_trial[0] != self._steps:
            weights, states = self.model.weights, self.model.optimizer.variables
            pairs = [(each, ops.convert_to_numpy(each).copy()) for each in [*weights, *states]]
            if self._good is None:
                self._look_at_first(pairs[: len(weights)])
            self._check_weights(pairs[: len(weights)])
            self._on_trial = (self._steps, pairs, getattr(self.model, "schedule_step", None))
            self._good = self._good or self._on_trial

    def _look_at_first(self, pairs):
        """Notes what is not finite by design (a mask of -inf); what is trained cannot be so."""
        odd = _not_finite(pairs)
        for weight in odd:
            if weight.trainable:
                raise NonFiniteLossError(
                    f"The weight '{weight.path}' is NaN or infinite before the first step. Build "
                    "the model anew, or load weights that are finite."
                )
        self._constants = set(map(id, odd))

    def _check_weights(self, pairs):
        for weight in _not_finite(pairs):
            if id(weight) not in self._constants:
                self._stop(
                    f"The weight '{weight.path}' became NaN or infinite, under a loss that stayed "
                    "finite,",
                    f"by {self._position()}",
                )

    def _stop(self, what, where):
        outside = getattr(self.model, "labels_outside", lambda: 0)()
        kept = f"The weights after step {self._put_back()} have been put back."
        self.model.stop_training = True
        if outside:
            raise ValueError(f"{where}, {self.model.describe_bad_labels(outside)} {kept}")
        raise NonFiniteLossError(
            f"{what} {where}. {kept} Lower the learning rate, clip gradients (clipnorm), or look "
            "for bad values in the data."
        )

    def _put_back(self):
        """Restores the last good state; returns its step."""
        step, pairs, schedule_step = self._good
        for variable, value in pairs:
            variable.assign(value)
        if schedule_step is not None:  # how far a cascade's pruning had come
            self.model.resume_schedule(schedule_step)
        return step


def _not_finite(pairs: Iterable[tuple[keras.Variable, Floats]]) -> list[keras.Variable]:
    """The weights with a value that is NaN or infinite, but for those that hold a gradient."""
    return [
        weight
        for weight, value in pairs
        # A loss-scaling optimizer lets gradients overflow, and passes over that step.
        if not (weight.overwrite_with_gradient or np.isfinite(value).all())
    ]


def guarded_fit(fit, x=None, y=None, callbacks=None, validation_data=None, **kwargs):
    """Calls a model's `fit` with a guard, and with data that is looked at before.

    Args:
        fit: the bound method.
        x, y, callbacks, validation_data, **kwargs: what it is given; a guard among the callbacks
            stays the only one.

    Returns:
        What `fit` returns.

    Raises:
        NonFiniteLossError: the loss or a weight became NaN or infinite; the last good weights are
            back.
        ValueError: data that is empty or has no labels.
        DataError: a tf.data pipeline failed; its own error is the cause.
    """
    data_faults.check(x, y, "training")
    data_faults.check_validation(validation_data)
    guard = FiniteLossGuard()
    if callbacks is None or isinstance(callbacks, keras.callbacks.Callback):
        callbacks = [callbacks] if callbacks else []
    if isinstance(callbacks, list | tuple):
        own = [callback for callback in callbacks if isinstance(callback, FiniteLossGuard)]
        guard, callbacks = (own[0], callbacks) if own else (guard, [guard, *callbacks])
    try:
        with data_faults.named(guard.where):
            return fit(x, y, callbacks=callbacks, validation_data=validation_data, **kwargs)
    except StopIteration as ended:  # JAX asks for a batch before it begins
        raise ValueError(data_faults.empty("training")) from ended
