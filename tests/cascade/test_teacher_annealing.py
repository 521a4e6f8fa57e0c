"""TeacherAnnealing: what the guidance weighs, seen in losses of weights that stay as they are."""

from contextlib import nullcontext

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf

import keras_cascade as kc

ALPHA = 0.8


def _distiller():
    teacher, student = (networks.small_convnet(normalised=False) for _ in range(2))
    return kc.Distiller(student, teacher, alpha=ALPHA)


def _cascade():
    model = networks.small_convnet(normalised=False)
    return kc.CascadeDistiller(model, (0.5,), alpha=ALPHA, min_channels=1)


class _Fit:
    """Fits of a trainer that does not learn, one step an epoch."""

    def __init__(self, make, **options):
        self.trainer = make()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.trainer.compile(keras.optimizers.SGD(0.0), loss, **options)
        self.data = networks.examples_for(networks.small_convnet(), 16)

    def __call__(self, callbacks=(), **options):
        """The student's loss and its divergence from its guide, of each epoch."""
        logs = self.trainer.fit(
            *self.data, batch_size=16, verbose=0, callbacks=list(callbacks), **options
        ).history
        return np.array(logs["student_loss"]), np.array(logs["student_kl"])

    def losses(self, shares):
        """What the student's loss is where the guidance weighs these shares of alpha."""
        loss, divergence = (of_epochs[0] for of_epochs in self(epochs=1))
        labels = (loss - ALPHA * divergence) / (1 - ALPHA)
        weights = ALPHA * np.array(shares)
        return pytest.approx((1 - weights) * labels + weights * divergence, rel=1e-5)


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("make", [_distiller, _cascade])
def test_guidance_falls_along_a_line(make, run_eagerly):
    fit = _Fit(make, run_eagerly=run_eagerly)
    expected = fit.losses([0.875, 0.625, 0.375, 0.125])
    found, _ = fit([kc.TeacherAnnealing()], epochs=4)
    assert found == expected
    assert np.ptp(found) > 0.1


def test_it_goes_on_where_training_goes_on():
    fit = _Fit(_distiller)
    expected = fit.losses([0.375, 0.125])
    assert fit([kc.TeacherAnnealing()], initial_epoch=2, epochs=4)[0] == expected


def test_it_goes_on_where_a_backup_was_made(tmp_path):
    def interrupt(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    fit = _Fit(_distiller)
    expected = fit.losses([0.875, 0.625, 0.375, 0.125])
    batches = tf.data.Dataset.from_tensor_slices(fit.data).batch(16).repeat()
    stop = keras.callbacks.LambdaCallback(on_epoch_end=interrupt)
    for callbacks, ends in (([stop], pytest.raises(KeyboardInterrupt)), ([], nullcontext())):
        with ends:
            logs = kc.TrainingBackup(tmp_path).fit(
                fit.trainer,
                lambda epochs: batches,
                steps_per_epoch=1,
                epochs=4,
                callbacks=[kc.TeacherAnnealing(), *callbacks],
                verbose=0,
            )
    assert logs["student_loss"] == expected


def test_the_whole_guidance_is_back_after_training():
    fit = _Fit(_distiller)
    expected = fit.losses([1.0])
    fit([kc.TeacherAnnealing()], epochs=4)
    found = fit.trainer.evaluate(*fit.data, verbose=0, return_dict=True)["student_loss"]
    assert [found] == expected


def test_training_that_was_broken_off_leaves_nothing_behind():
    def interrupt(epoch, logs):
        raise KeyboardInterrupt

    fit = _Fit(_distiller)
    expected = fit.losses([1.0])
    with pytest.raises(KeyboardInterrupt):
        stop = keras.callbacks.LambdaCallback(on_epoch_end=interrupt)
        fit([kc.TeacherAnnealing(), stop], epochs=4)
    assert fit(epochs=1)[0] == expected


def test_a_model_without_guidance_is_refused():
    model = networks.small_convnet()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(TypeError, match=r"'.*', which has none\. Wrap the model"):
        model.fit(*networks.examples_for(model, 8), callbacks=[kc.TeacherAnnealing()], verbose=0)
