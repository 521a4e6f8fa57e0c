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
        if not self.model.optimizer.built:  # its state is part of what is kept
            self.model.optimizer.build(self.model.trainable_variables)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._snapshot()

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1
        loss = float((logs or {}).get("loss", 0.0))
        if not np.isfinite(loss):
            self._stop(batch, loss)
        self._good = self._on_trial
        if self._steps % self._every == 0:
            self._snapshot()

    def _variables(self):
        return [*self.model.weights, *self.model.optimizer.variables]

    def _snapshot(self):
        if self._good is None or self._on_trial is None or self._on_trial[0] != self._steps:
            values = [ops.convert_to_numpy(variable).copy() for variable in self._variables()]
            self._on_trial = (self._steps, values)
            self._good = self._good or self._on_trial

    def _stop(self, batch, loss):
        outside = getattr(self.model, "labels_outside", lambda: 0)()
        step, values = self._good
        for variable, value in zip(self._variables(), values, strict=True):
            variable.assign(value)
        where = f"at step {self._steps} (epoch {self._epoch + 1}, batch {batch + 1})"
        kept = f"The weights after step {step} have been put back."
        self.model.stop_training = True
        if outside:
            classes = self.model.output_classes
            raise ValueError(
                f"{outside} labels outside the classes 0..{classes - 1} {where}. Check the labels, "
                f"or give the model as many outputs as there are classes. {kept}"
            )
        raise NonFiniteLossError(
            f"The loss became {loss} {where}. {kept} Lower the learning rate, clip gradients "
            "(clipnorm), or look for bad values in the data."
        )
