"""Callbacks that go by a run's length go by the whole of it, wherever it was broken off."""

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from broken_off import Dies, Killed

import keras_cascade as kc
from keras_cascade.cascade.run_length import RunLengthCallback

EPOCHS, STEPS = 3, 4


def _fit(make_trainer, folder, callbacks, kill_after=None):
    keras.utils.set_random_seed(7)
    trainer = make_trainer(networks.small_convnet(normalised=False))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile(keras.optimizers.SGD(0.05), loss)
    data = networks.examples_for(networks.small_convnet(), 8 * STEPS)
    batches = tf.data.Dataset.from_tensor_slices(data).batch(8).repeat()
    kc.TrainingBackup(folder, every=1).fit(
        trainer,
        lambda epochs: batches,
        steps_per_epoch=STEPS,
        epochs=EPOCHS,
        callbacks=[*callbacks, *([Dies(kill_after)] if kill_after else [])],
        verbose=0,
    )
    return [keras.ops.convert_to_numpy(variable) for variable in trainer.weights]


@pytest.mark.parametrize("kill_after", [2, STEPS + 2])
@pytest.mark.parametrize(
    ("make_trainer", "callback"),
    [
        (lambda model: kc.CascadeDistiller(model, (0.5,), min_channels=1), kc.CascadeCallback),
        (
            lambda model: kc.Distiller(model, networks.unsettled(networks.small_convnet(), seed=8)),
            kc.TeacherAnnealing,
        ),
    ],
    ids=["CascadeCallback", "TeacherAnnealing"],
)
def test_a_run_gone_on_with_within_an_epoch_ends_as_one_that_ran_through(
    tmp_path, make_trainer, callback, kill_after
):
    whole = _fit(make_trainer, tmp_path / "whole", [callback()])
    with pytest.raises(Killed):
        _fit(make_trainer, tmp_path / "killed", [callback()], kill_after)
    continued = _fit(make_trainer, tmp_path / "killed", [callback()])
    for found, expected in zip(continued, whole, strict=True):
        np.testing.assert_array_equal(found, expected)


class _Told(RunLengthCallback):
    def on_epoch_begin(self, epoch, logs=None):
        self.told = self.epochs, self.steps_per_epoch


def test_after_a_backups_fit_each_fit_is_a_run_of_its_own(tmp_path):
    told = _Told()
    _fit(lambda model: kc.Distiller(model, networks.small_convnet()), tmp_path, [told])
    assert told.told == (EPOCHS, STEPS)
    model = networks.small_convnet()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*networks.examples_for(model, 16), batch_size=8, verbose=0, callbacks=[told])
    assert told.told == (1, 2)
