"""FiniteLossGuard: a training run that diverges stops, says where, and keeps its last good state.

A snapshot is good only once a later loss computed with it was finite, so two are held: the good
one and the one still on trial.
"""

import keras
import numpy as np
from keras import ops


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; the last good weights have been put back."""


class FiniteLossGuard(keras.callbacks.Callback):
    """Stops training when the loss is NaN or infinite, with the last good weights restored.

    Args:
        every: steps between snapshots of the weights and the optimizer's state; one is taken at
            the beginning of every epoch too. A snapshot costs one copy of both in memory.

    Raises:
        ValueError: `every` is below 1.

    Example:

    ```python
    model.fit(train, epochs=3, callbacks=[FiniteLossGuard()])
    ```
    """

    def __init__(self, every=200):
        super().__init__()
        if every < 1:
            raise ValueError(f"every must be at least 1 step, got {every}.")
        self._every = every

    def on_train_begin(self, logs=None):
        self._steps = 0
        self._good = self._on_trial = None
        optimizer = self.model.optimizer
        if self.model.built and not optimizer.built:  # its state is part of what is kept
            optimizer.build(self.model.trainable_variables)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._batch = epoch, -1
        self._snapshot()

    def on_train_batch_end(self, batch, logs=None):
        self._steps += batch - self._batch  # more than 1 with steps_per_execution
        self._batch = batch
        loss = float((logs or {}).get("loss", 0.0))
        if not np.isfinite(loss):
            self._stop(loss, f"at step {self._steps} (epoch {self._epoch + 1}, batch {batch + 1})")
        self._good = self._on_trial
        if self._steps - self._on_trial[0] >= self._every:
            self._snapshot()

    def on_epoch_end(self, epoch, logs=None):
        loss = float((logs or {}).get("val_loss", 0.0))
        if not np.isfinite(loss):
            self._stop(loss, f"in the validation of epoch {epoch + 1}")

    def _snapshot(self):
        if self._on_trial is None or self._on_trial[0] != self._steps:
            variables = [*self.model.weights, *self.model.optimizer.variables]
            pairs = [(variable, ops.convert_to_numpy(variable).copy()) for variable in variables]
            self._on_trial = (self._steps, pairs)
            self._good = self._good or self._on_trial

    def _stop(self, loss, where):
        outside = getattr(self.model, "labels_outside", lambda: 0)()
        step, pairs = self._good
        for variable, value in pairs:
            variable.assign(value)
        kept = f"The weights after step {step} have been put back."
        self.model.stop_training = True
        if outside:
            raise ValueError(f"{where}, {self.model.describe_bad_labels(outside)} {kept}")
        raise NonFiniteLossError(
            f"The loss became {loss} {where}. {kept} Lower the learning rate, clip gradients "
            "(clipnorm), or look for bad values in the data."
        )
