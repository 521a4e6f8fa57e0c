"""Invariant 5: a run that is killed and gone on with ends, to the bit, like one that was not."""

import os
import resource
import signal

import keras
import networks
import numpy as np
import pytest
from marks import slow
from resumable import EPOCHS, STEPS, run, state

import keras_cascade as kc
from keras_cascade.cascade.seeds import seed_states


class Killed(Exception):
    pass


def dies_after(step):
    """A callback that ends the run after so many steps, without a word to anyone."""
    taken = []

    def count(batch, logs):
        taken.append(batch)
        if len(taken) == step:
            raise Killed

    return keras.callbacks.LambdaCallback(on_train_batch_end=count)


def assert_same(found, expected):
    for (path, one), other in zip(state(expected).items(), state(found).values(), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The cascade and the logs of a run that nobody disturbed."""
    cascade, logs = run(kc.TrainingBackup(tmp_path_factory.mktemp("whole")))
    assert logs["student_flips"][1] > 0 and len(seed_states(cascade)) == 1
    return cascade, logs


@pytest.mark.parametrize(
    "kills",
    [
        (STEPS + 3,),
        *slow((3,), (STEPS,), (5,), (3, 3, 4, 5)),
    ],
    ids=str,
)
def test_killed_run_ends_like_one_that_was_not(whole, tmp_path, kills):
    for step in kills:
        with pytest.raises(Killed):
            run(kc.TrainingBackup(tmp_path, every=2), dies_after(step))
    cascade, logs = run(kc.TrainingBackup(tmp_path, every=2))
    assert_same(cascade, whole[0])
    assert len(logs["loss"]) == EPOCHS
    assert logs["student_macs"] == whole[1]["student_macs"]


@pytest.mark.slow
def test_killed_run_with_a_frozen_teacher(tmp_path):
    frozen = {"freeze_teacher": True}
    expected, _ = run(kc.TrainingBackup(tmp_path / "whole"), **frozen)
    with pytest.raises(Killed):
        run(kc.TrainingBackup(tmp_path / "killed", every=2), dies_after(STEPS + 3), **frozen)
    found, logs = run(kc.TrainingBackup(tmp_path / "killed", every=2), **frozen)
    assert_same(found, expected)
    assert found.freeze_teacher and "teacher_loss" not in logs


def test_finished_run_is_only_restored(whole, tmp_path):
    run(kc.TrainingBackup(tmp_path))
    cascade, logs = run(kc.TrainingBackup(tmp_path), dies_after(1))
    assert_same(cascade, whole[0])
    assert logs == whole[1]


@pytest.mark.slow
def test_a_damaged_state_is_found_and_the_one_before_is_taken(whole, tmp_path, capsys):
    with pytest.raises(Killed):
        run(kc.TrainingBackup(tmp_path, every=2), dies_after(7))
    older, newest = sorted(tmp_path.glob("epoch_*"))
    newest.write_bytes(newest.read_bytes()[:-100])
    (tmp_path / ".unfinished.npz").write_bytes(b"killed while writing")
    cascade, _ = run(kc.TrainingBackup(tmp_path, every=2))
    assert f"'{newest}' is damaged" in capsys.readouterr().out
    assert_same(cascade, whole[0])


@pytest.mark.parametrize("number", [*slow(signal.SIGINT), signal.SIGTERM])
def test_signals_end_the_step_and_keep_the_state(whole, tmp_path, number):
    def send(batch, logs):
        if batch == 1:
            os.kill(os.getpid(), number)

    sender = keras.callbacks.LambdaCallback(on_train_batch_begin=send)
    before = signal.getsignal(number)
    with pytest.raises(kc.TrainingInterrupted, match="after batch 2 of epoch 1; the state") as info:
        run(kc.TrainingBackup(tmp_path), sender)
    assert info.value.signal_number == number and signal.getsignal(number) is before
    assert_same(run(kc.TrainingBackup(tmp_path))[0], whole[0])


@pytest.mark.slow
def test_a_signal_in_validation_keeps_the_epoch(whole, tmp_path):
    sender = keras.callbacks.LambdaCallback(
        on_test_batch_begin=lambda batch, logs: os.kill(os.getpid(), signal.SIGTERM)
    )
    with pytest.raises(kc.TrainingInterrupted, match="after epoch 1;"):
        run(kc.TrainingBackup(tmp_path), sender)
    cascade, logs = run(kc.TrainingBackup(tmp_path))
    assert_same(cascade, whole[0])
    assert len(logs["loss"]) == EPOCHS - 1


@pytest.mark.slow
def test_a_full_disk_loses_nothing(whole, tmp_path):
    """Files that may not grow: as on a full disk, the write fails in the middle."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(batch, logs):
        if batch == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))

    filler = keras.callbacks.LambdaCallback(on_train_batch_begin=fill)
    try:
        with pytest.raises(OSError, match="make room, and run the same again"):
            run(kc.TrainingBackup(tmp_path, every=1), filler)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith("epoch_00000_batch_0000001_")
    assert_same(run(kc.TrainingBackup(tmp_path))[0], whole[0])


def test_spoiled_weights_are_no_state(tmp_path):
    """The loss of the step that spoils them is finite; a restart must not begin with them."""
    model = networks.small_convnet()
    model.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
    x, _ = networks.examples_for(model, 32)

    def spoil(batch, logs):
        if batch == 2:
            model.optimizer.learning_rate = 1e39

    spoiler = keras.callbacks.LambdaCallback(on_train_batch_begin=spoil)
    callbacks = [kc.FiniteLossGuard(), spoiler, kc.TrainingBackup(tmp_path, every=1)]
    with pytest.raises(kc.NonFiniteLossError, match="NaN or infinite by batch 3 of epoch 1"):
        model.fit(x, np.ones((32, 4)), batch_size=8, verbose=0, callbacks=callbacks)
    assert kc.TrainingBackup(tmp_path).restore(model).batch == 2
    assert all(np.isfinite(array).all() for array in model.get_weights())


def test_the_state_of_another_model_is_refused(tmp_path):
    run(kc.TrainingBackup(tmp_path))
    other = networks.small_convnet()
    other.compile("sgd", "mse")
    with pytest.raises(ValueError, match="is of another model or optimizer than 'small' has"):
        kc.TrainingBackup(tmp_path).restore(other)


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="every must be at least 1"):
        kc.TrainingBackup(tmp_path, every=0)
    with pytest.raises(ValueError, match="keep must be at least 2"):
        kc.TrainingBackup(tmp_path, keep=1)
