"""A run that a callback or a signal ends is over where it ended, whenever it is called again."""

import signal

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from broken_off import Dies, Killed

import keras_cascade as kc

EPOCHS, STEPS = 5, 4


class _EndsAfter(keras.callbacks.Callback):
    """Stops training after an epoch, with the weights of the first, as EarlyStopping may."""

    def __init__(self, epochs):
        super().__init__()
        self._epochs, self._best = epochs, None

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self._best = self.model.get_weights()
        self.model.stop_training = epoch + 1 == self._epochs

    def on_train_end(self, logs=None):
        if self._best is not None:
            self.model.set_weights(self._best)


def _fit(folder, *callbacks, backup=None):
    keras.utils.set_random_seed(7)
    model = networks.small_convnet()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = tf.data.Dataset.from_tensor_slices(networks.examples_for(model, 8 * STEPS))
    logs = (backup or kc.TrainingBackup(folder)).fit(
        model,
        lambda epochs: data.batch(8).repeat(),
        steps_per_epoch=STEPS,
        epochs=EPOCHS,
        callbacks=callbacks,
        verbose=0,
    )
    return model.get_weights(), logs


def _assert_same(found, expected):
    for one, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(found[1]["loss"]) == len(expected[1]["loss"])


@pytest.mark.parametrize("epochs", [2, EPOCHS, None])
def test_a_run_that_is_over_is_not_trained_on(tmp_path, epochs):
    ended = _fit(tmp_path, _EndsAfter(epochs))
    assert len(ended[1]["loss"]) == (epochs or EPOCHS)
    _assert_same(_fit(tmp_path, _EndsAfter(epochs)), ended)
    _assert_same(_fit(tmp_path), ended)


def test_a_run_ended_in_an_epoch_that_was_gone_on_with_is_over(tmp_path):
    whole = _fit(tmp_path / "whole", _EndsAfter(2))
    ends, folder = _EndsAfter(2), tmp_path / "killed"
    with pytest.raises(Killed):
        _fit(folder, ends, Dies(STEPS + 2), backup=kc.TrainingBackup(folder, every=1))
    _assert_same(_fit(folder, ends, backup=kc.TrainingBackup(folder, every=1)), whole)


class _SignalledAtTheEnd(kc.TrainingBackup):
    def _save(self, epoch, batch, **kwargs):
        if epoch == EPOCHS:
            signal.raise_signal(signal.SIGTERM)
        super()._save(epoch, batch, **kwargs)


def test_a_signal_while_the_last_state_is_written_is_heeded(tmp_path):
    with pytest.raises(kc.TrainingInterrupted, match="Stopped by SIGTERM") as caught:
        _fit(tmp_path, backup=_SignalledAtTheEnd(tmp_path))
    assert caught.value.signal_number == signal.SIGTERM
    _, logs = _fit(tmp_path)
    assert len(logs["loss"]) == EPOCHS
