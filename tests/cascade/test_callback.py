"""CascadeCallback: when masks change, that channels can return, and clear errors."""

import keras
import networks
import numpy as np
import pytest
from marks import slow

import keras_cascade as kc

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class _Recorder(keras.callbacks.Callback):
    """Keeps the student's keep vector after every batch."""

    def on_train_begin(self, logs=None):
        self.keeps = []

    def on_train_batch_end(self, batch, logs=None):
        masks = self.model.masks()
        self.keeps.append(np.concatenate([masks[name] for name in sorted(masks)]))


def _fit(callback, epochs=6, data=None, cascade=None, also=(), **fit_arguments):
    model = networks.small_convnet()
    cascade = cascade or kc.CascadeDistiller(model, (0.3, 0.6), min_channels=1, momentum=0.3)
    cascade.compile(
        keras.optimizers.SGD(0.1),
        LOSS,
        jit_compile=False,
        steps_per_execution=fit_arguments.pop("steps_per_execution", 1),
    )
    x, y = networks.examples_for(model, 24)
    recorder = _Recorder()
    history = cascade.fit(
        data if data is not None else x,
        None if data is not None else y,
        batch_size=None if data is not None else 8,
        epochs=epochs,
        verbose=0,
        callbacks=[callback, recorder, *also],
        **fit_arguments,
    )
    return cascade, history.history, recorder.keeps


def _changes(keeps):
    pairs = zip(keeps, keeps[1:], strict=False)
    return [index + 2 for index, (a, b) in enumerate(pairs) if (a != b).any()]


@pytest.mark.parametrize("hard_masks", [True, *slow(False)])
def test_channels_go_and_soft_ones_return_before_end_and_never_after(hard_masks):
    model = networks.small_convnet()
    cascade, logs, keeps = _fit(
        kc.CascadeCallback(begin=2, end=14, frequency=1),
        epochs=8,
        cascade=kc.CascadeDistiller(
            model, (0.3, 0.6), min_channels=1, momentum=0.3, hard_masks=hard_masks
        ),
    )
    steps = _changes(keeps)
    assert min(steps) > 2 and max(steps) <= 14
    returned = [(~a & b).any() for a, b in zip(keeps, keeps[1:], strict=False)]
    assert any(returned) is not hard_masks
    assert logs["student_flips"][-1] == 0 and sum(logs["student_flips"]) > 0
    # What is lost cannot come back to fill what the last, costly channel left over.
    assert logs["student_macs"][-1] == pytest.approx(0.4, abs=0.08 if hard_masks else 0.06)


def test_with_soft_masks_a_removed_channel_that_becomes_salient_comes_back():
    cascade = kc.CascadeDistiller(
        networks.small_convnet(), (0.5,), min_channels=1, hard_masks=False
    )
    group = cascade.graph["inner"]
    kept = []
    for favoured in (7, 0):
        saliency = np.ones(cascade.graph.num_units)
        saliency[group.units] = 1e-6
        saliency[group.first_unit + favoured] = 10.0
        cascade._gates[0].saliency.assign(saliency)
        cascade.update_masks()
        kept.append(cascade.masks()["inner"])
    assert not kept[0][0] and kept[1][0]


def test_a_missed_target_is_named(capsys):
    cascade = kc.CascadeDistiller(networks.small_convnet(), (0.2,), min_channels=1, round_to=5)
    _fit(kc.CascadeCallback(end=4, frequency=1), epochs=2, cascade=cascade)
    assert "level 'student': asked for 20.0% of the macs, removed" in capsys.readouterr().out


def test_an_end_after_that_of_a_fit_that_begins_late_is_warned_of():
    with pytest.warns(UserWarning, match="Pruning ends at step 11, training already at step 9"):
        _fit(kc.CascadeCallback(end=11), initial_epoch=3)


def test_a_target_missed_as_training_was_stopped_is_named(capsys):
    def stop(epoch, logs):
        cascade.stop_training = True

    cascade = kc.CascadeDistiller(networks.small_convnet(), (0.6,), min_channels=1)
    stopping = keras.callbacks.LambdaCallback(on_epoch_end=stop)
    _fit(kc.CascadeCallback(), cascade=cascade, also=[stopping])
    assert "level 'student': asked for 60.0% of the macs, removed" in capsys.readouterr().out


def test_frequency_and_schedule():
    _, _, keeps = _fit(
        kc.CascadeCallback(begin=3, end=12, frequency=4, schedule=kc.ConstantSchedule())
    )
    # Updates at 7, 11 and the end; the whole target from the first on.
    assert set(_changes(keeps)) <= {7, 11, 12}
    kept = [keep.sum() for keep in keeps]
    assert kept[5] == keeps[0].size and kept[6] < keeps[0].size


def test_fractions_of_training():
    _, _, keeps = _fit(kc.CascadeCallback(begin=0.5, end=1.0, frequency=1))
    assert min(_changes(keeps)) > 9


class _Plans(kc.CascadeCallback):
    """Keeps the steps that pruning was to begin and end at, of every epoch."""

    plans = ()

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self.plans = (*self.plans, (self._begin, self._end))


def test_fractions_are_of_the_epochs_that_the_schedule_has(recwarn):
    """Epochs trained without the callback, before `initial_epoch`, are none of them."""
    plans = _Plans(begin=0.5, end=0.9, frequency=1)
    cascade, _, keeps = _fit(plans, epochs=7, initial_epoch=3)
    assert set(plans.plans) == {(6, 11)}  # of 4 epochs of 3 steps
    assert len(keeps) == 12 and min(_changes(keeps)) > 6 and max(_changes(keeps)) <= 11
    assert cascade.remaining()["student"] == pytest.approx(0.4, abs=0.06)
    assert not any("Pruning ends" in str(warned.message) for warned in recwarn)


@pytest.mark.parametrize(("begun_at", "again_at"), [(0, 1), (0, 0), (2, 3)])
def test_an_interrupted_schedule_goes_on_as_planned(begun_at, again_at):
    def interrupt(batch, logs):
        if cascade.schedule_step == 4:
            raise KeyboardInterrupt

    cascade = kc.CascadeDistiller(networks.small_convnet(), (0.3, 0.6), min_channels=1)
    cascade.compile("sgd", LOSS, run_eagerly=True)
    data = networks.examples_for(cascade._base, 24)
    plans = _Plans(begin=0.5, end=0.9)
    interrupts = keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)
    run = {"batch_size": 8, "epochs": begun_at + 4, "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        cascade.fit(*data, **run, initial_epoch=begun_at, callbacks=[plans, interrupts])
    assert cascade.schedule_step == 4
    cascade.fit(*data, **run, initial_epoch=again_at, callbacks=[plans])
    assert set(plans.plans) == {(6, 11)}


@pytest.mark.only_on("tensorflow", "jax", reason="Keras on PyTorch runs each step alone")
def test_steps_per_execution_misses_no_update():
    cascade, logs, _ = _fit(kc.CascadeCallback(begin=0, end=16, frequency=1), steps_per_execution=3)
    assert logs["student_macs"][-1] == pytest.approx(0.4, abs=0.06)


def _batches():
    model = networks.small_convnet()
    x, y = networks.examples_for(model, 24)
    for start in range(0, 24, 8):
        yield x[start : start + 8], y[start : start + 8]


def test_unknown_length_needs_steps():
    with pytest.raises(ValueError, match="length is unknown.*steps_per_epoch"):
        _fit(kc.CascadeCallback(), epochs=1, data=_batches())
    cascade, _, keeps = _fit(
        kc.CascadeCallback(begin=0, end=2, frequency=1), epochs=1, data=_batches()
    )
    assert len(keeps) == 3 and cascade.remaining()["student"] < 0.5


def test_only_a_cascade_is_pruned():
    model = networks.small_convnet()
    model.compile("sgd", LOSS)
    with pytest.raises(TypeError, match="CascadeDistiller.*Functional 'small'"):
        model.fit(*networks.examples_for(model, 8), verbose=0, callbacks=[kc.CascadeCallback()])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"begin": -1}, "begin must be a fraction"),
        ({"end": 1.5}, "end must be a fraction"),
        ({"begin": 0.7, "end": 0.6}, "begin must come before end"),
        ({"frequency": 0}, "frequency must be an int of at least 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        kc.CascadeCallback(**arguments)


def test_too_few_steps():
    with pytest.raises(ValueError, match="Train for more steps"):
        _fit(kc.CascadeCallback(begin=1000, end=0.5))


def test_schedules():
    cubic = kc.PolynomialSchedule()
    assert cubic(0.0) == 0.0 and cubic(1.0) == 1.0
    assert cubic(0.5) == pytest.approx(1 - 0.5**3)
    linear = kc.PolynomialSchedule(power=1, initial=0.2)
    assert linear(0.5) == pytest.approx(0.6)
    copy = kc.PolynomialSchedule.from_config(linear.get_config())
    assert copy(0.25) == linear(0.25)
    assert kc.ConstantSchedule.from_config(kc.ConstantSchedule().get_config())(0.0) == 1.0
    for arguments in ({"power": 0}, {"initial": 1.5}):
        with pytest.raises(ValueError, match="PolynomialSchedule needs"):
            kc.PolynomialSchedule(**arguments)
