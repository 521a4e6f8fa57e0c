"""Faults in the data: a clear error that loses nothing, or the right result."""

import re
import types

import invariants
import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from marks import slow, slow_case

import keras_cascade as kc
from keras_cascade import recipe
from keras_cascade.cascade import data_faults
from keras_cascade.cascade.guard import guarded_fit

pytestmark = pytest.mark.only_on("tensorflow", reason="what fails is tf.data, inside a step")

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
X, Y = networks.examples_for(networks.small_convnet(), 32)
BATCHES = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
SETTINGS = recipe.Settings(epochs=2, levels=(0.3, 0.6), min_channels=1, end=0.7, momentum=0.5)


def cascade():
    return kc.CascadeDistiller(networks.small_convnet(), (0.3, 0.6), min_channels=1, momentum=0.5)


def distiller():
    return kc.Distiller(networks.small_convnet(), networks.small_convnet())


def compiled(make, optimizer="adamw", **options):
    """A trainer whose optimizer has its state already."""
    trainer = make()
    trainer.compile(optimizer, LOSS, metrics=["accuracy"], jit_compile=False, **options)
    trainer.optimizer.build(trainer.trainable_variables)
    return trainer


def callbacks(trainer):
    pruning = isinstance(trainer, kc.CascadeDistiller)
    return [kc.CascadeCallback(begin=0, end=6, frequency=1)] if pruning else []


def state(trainer):
    variables = [*trainer.weights, *trainer.optimizer.variables]
    return {variable.path: variable.numpy().copy() for variable in variables}


def assert_same_state(found, expected):
    for (path, value), other in zip(expected.items(), found.values(), strict=True):
        np.testing.assert_array_equal(other, value, err_msg=path)


class States(keras.callbacks.Callback):
    """Keeps the state after every step; of callbacks after this one it sees nothing."""

    def on_train_begin(self, logs=None):
        self.after = [state(self.model)]

    def on_train_batch_end(self, batch, logs=None):
        self.after.append(state(self.model))


def failing():
    return networks.failing_batches(X, Y, example=20)


class FailingSequence(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 2:
            raise OSError("image 20 cannot be read")
        return X[:8], Y[:8]


UNLABELLED = BATCHES.map(lambda x, y: x)
NOTHING = BATCHES.filter(lambda x, y: False)  # which nobody can know before


# Data that cannot be used: an error that says so, and nothing has changed.

UNUSABLE = {
    "empty": ({"x": BATCHES.take(0)}, "The training data is empty"),
    "empty arrays": ({"x": X[:0], "y": Y[:0]}, "The training data is empty"),
    "empty with steps": ({"x": BATCHES.take(0), "steps_per_epoch": 4}, "training data is empty"),
    "unlabelled": ({"x": UNLABELLED}, r"The training data has no labels.*batches \(x, y\)"),
    "unlabelled arrays": ({"x": X}, "The training data has no labels"),
    "validation empty": (
        {"x": BATCHES, "validation_data": BATCHES.take(0)},
        "The validation data is empty",
    ),
    "validation unlabelled": (
        {"x": BATCHES, "validation_data": UNLABELLED},
        "The validation data has no labels",
    ),
    "validation arrays": ({"x": BATCHES, "validation_data": (X, None)}, "has no labels"),
}


def assert_refused(trainer, fit, arguments, message):
    before = state(trainer)
    with pytest.raises(ValueError, match=message):
        fit(**arguments, verbose=0, callbacks=callbacks(trainer))
    assert_same_state(state(trainer), before)


@pytest.mark.parametrize("make", [cascade, distiller, networks.small_convnet])
@pytest.mark.parametrize("fault", UNUSABLE)
def test_unusable_data_changes_nothing(make, fault):
    trainer = compiled(make)
    assert_refused(trainer, lambda **kw: guarded_fit(trainer.fit, **kw), *UNUSABLE[fault])


@pytest.mark.parametrize("make", [cascade, *slow(networks.small_convnet)])
def test_data_found_empty_while_training_changes_nothing(make):
    trainer = compiled(make)
    message = "Epoch 1: The training data is empty"
    assert_refused(trainer, lambda **kw: guarded_fit(trainer.fit, **kw), {"x": NOTHING}, message)


@pytest.mark.parametrize("stage", [recipe.train_teacher, recipe.train_cascade])
@pytest.mark.parametrize("fault", ["empty", "validation unlabelled"])
def test_stages_refuse_unusable_data(stage, fault):
    model = networks.small_convnet()
    before = model.get_weights()
    arguments, message = UNUSABLE[fault]
    images = types.SimpleNamespace(
        train=arguments["x"], test=arguments.get("validation_data"), steps_per_epoch=4
    )
    with pytest.raises(ValueError, match=message):
        stage(model, images, SETTINGS)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_evaluation_without_data():
    trainer = compiled(cascade, run_eagerly=True)
    with pytest.raises(ValueError, match="The evaluation data is empty"):
        trainer.evaluate(BATCHES.take(0), verbose=0)
    with pytest.raises(ValueError, match="The validation data is empty"):
        trainer.fit(BATCHES, validation_data=NOTHING, verbose=0)
    with pytest.raises(ValueError, match="The evaluation data has no labels"):
        trainer.evaluate(UNLABELLED, verbose=0)


# Data that fails while it is read.


def assert_named(where, fails):
    cause = "OSError: image 20 cannot be read"
    with pytest.raises(kc.DataError, match=rf"The data failed {where}: {cause}\. Mend") as info:
        fails()
    assert type(info.value.__cause__).__module__.startswith("tensorflow")
    assert cause in str(info.value.__cause__)


@pytest.mark.parametrize("make", [cascade, *slow(distiller)])
@pytest.mark.parametrize("steps_per_execution", [1, *slow(2)])
def test_a_failing_pipeline_leaves_whole_steps(make, steps_per_execution):
    """Not half a step more: weight decay, the counted steps and saliency need no batch."""
    trainer, states = compiled(make, steps_per_execution=steps_per_execution), States()
    assert_named(
        r"after step 2 \(epoch 1, batch 2\)",
        lambda: trainer.fit(failing(), verbose=0, callbacks=[states]),
    )
    assert_same_state(state(trainer), states.after[-1])
    assert int(trainer.optimizer.iterations) == 2
    logs = trainer.fit(BATCHES, verbose=0, callbacks=callbacks(trainer)).history
    assert np.isfinite(logs["loss"][0])


@pytest.mark.slow
def test_a_data_set_of_unknown_length_takes_as_many_steps_as_it_has():
    trainer = compiled(cascade)
    trainer.fit(BATCHES.filter(lambda x, y: True), epochs=2, verbose=0)
    assert int(trainer.optimizer.iterations) == 8


def test_where_data_failed():
    trainer = compiled(cascade, run_eagerly=True)
    assert_named("in evaluation", lambda: trainer.evaluate(failing(), verbose=0))
    assert_named(
        "in the validation of epoch 1, after batch 2",
        lambda: trainer.fit(BATCHES, validation_data=failing(), verbose=0),
    )
    assert_named(
        r"after step 2 \(epoch 1, batch 2\)",
        lambda: trainer.fit(FailingSequence(), shuffle=False, verbose=0),
    )
    images = types.SimpleNamespace(test=failing(), train=failing(), steps_per_epoch=4)
    model = networks.small_convnet()
    assert_named("in testing", lambda: recipe.accuracy_on_test(model, images))
    images.test = None
    assert_named(
        r"after step 2 \(epoch 1, batch 2\)", lambda: recipe.train_teacher(model, images, SETTINGS)
    )


def test_errors_that_are_not_of_the_data_pass_unchanged():
    with pytest.raises(tf.errors.InvalidArgumentError), data_faults.named(lambda: "somewhere"):
        tf.reshape(tf.zeros(3), (2,))
    with pytest.raises(KeyError), data_faults.named(lambda: "somewhere"):
        raise KeyError("IteratorGetNext")


# Values that spoil the loss.


@pytest.mark.parametrize("make", [cascade, *slow(distiller)])
def test_nan_images_leave_the_last_good_state(make):
    """Moving statistics, masks, saliency and the optimizer's state too."""
    trainer, states = compiled(make, "adam"), States()
    images = X.copy()
    images[27, 3, 3, 0] = np.nan  # of the fourth batch
    with pytest.raises(kc.NonFiniteLossError, match="at step 4.*bad values in the data") as info:
        trainer.fit(
            images,
            Y,
            batch_size=8,
            shuffle=False,
            verbose=0,
            callbacks=[kc.FiniteLossGuard(every=1), states, *callbacks(trainer)],
        )
    step = int(re.search(r"after step (\d+)", str(info.value))[1])
    assert step == 2
    assert_same_state(state(trainer), states.after[step])
    assert any(path.endswith("moving_mean") for path in states.after[step])
    if make is cascade:
        assert trainer.schedule_step == 1 and not trainer.masks()["inner"].all()


# A backup made before a fault is whole: the data mended, the run ends as if nothing had been.


def spoiled(kind):
    """A stream of epochs as `ImageData.from_epoch`, with a fault in the second epoch."""
    source = tf.data.Dataset.from_tensor_slices((X, Y))
    replaced = {"fails": failing(), "nan": BATCHES.map(lambda x, y: (x * np.nan, y))}

    def from_epoch(start):
        epochs = tf.data.Dataset.range(start, tf.int64.max)
        good = epochs.flat_map(lambda epoch: source.shuffle(len(X), epoch).batch(8))
        if kind is None:
            return good
        left = 6 - 4 * start  # the fault is at step 7
        return good.take(left).concatenate(replaced[kind].skip(2))

    return types.SimpleNamespace(from_epoch=from_epoch, test=BATCHES, steps_per_epoch=4)


def run_with_backup(folder, kind):
    keras.utils.set_random_seed(7)
    backup = kc.TrainingBackup(folder, every=1)
    return recipe.train_cascade(networks.small_convnet(), spoiled(kind), SETTINGS, backup=backup)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return run_with_backup(tmp_path_factory.mktemp("undisturbed"), None)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("fails", kc.DataError, r"after step 6 \(epoch 2, batch 2\): OSError: image 20"),
        ("nan", kc.NonFiniteLossError, r"at step 7 \(epoch 2, batch 3\)"),
    ],
)
def test_a_backup_made_before_a_fault_is_gone_on_with(undisturbed, tmp_path, kind, error, message):
    with pytest.raises(error, match=message):
        run_with_backup(tmp_path, kind)
    newest = max(path.name for path in tmp_path.glob("epoch_*"))
    assert newest.startswith("epoch_00001_batch_0000002_")
    cascade, logs = run_with_backup(tmp_path, None)
    assert_same_state(state(cascade), state(undisturbed))
    assert len(logs["loss"]) == 2


# Unusual data that is in order.


@pytest.mark.parametrize("make", [cascade, *slow(distiller)])
def test_a_batch_of_one_counts_as_one_example(make):
    """Alone, and as what is left over for the last batch."""
    trainer = compiled(make, run_eagerly=True)
    results = [
        trainer.evaluate(X[:9], Y[:9], batch_size=size, verbose=0, return_dict=True)
        for size in (9, 8, 1)
    ]
    for other in results[1:]:
        assert other == pytest.approx(results[0], rel=1e-5)


@pytest.mark.parametrize("size", [1, *slow(8)])
def test_training_on_batches_of_one(size):
    """Without normalisation the logged loss does not depend on how batches are cut."""
    logs, model = [], networks.small_convnet(normalised=False)
    for batch_size in (9, size):
        trainer = kc.CascadeDistiller(model, (0.6,), min_channels=1)
        trainer.compile(keras.optimizers.SGD(0.0), LOSS, run_eagerly=True)
        logs.append(trainer.fit(X[:9], Y[:9], batch_size=batch_size, verbose=0).history)
    for name, (value,) in logs[0].items():
        assert logs[1][name][0] == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize(
    ("count", "size", "classes"),
    [slow_case(3, 1, 4), (9, 8, 4), slow_case(16, 8, 2)],
    ids=str,
)
def test_odd_data_still_gives_a_student(count, size, classes):
    """Batches of one through normalisation, one left over, classes that are never seen."""
    trainer = compiled(cascade, run_eagerly=True)
    pruning = kc.CascadeCallback(begin=0, end=2, frequency=1)
    trainer.fit(X[:count], Y[:count] % classes, batch_size=size, verbose=0, callbacks=[pruning])
    assert all(np.isfinite(value).all() for value in state(trainer).values())
    student = trainer.extract()
    assert student.output_shape == (None, 4)
    invariants.assert_same_outputs([trainer.predict(X, verbose=0)], [student.predict(X, verbose=0)])
    assert student.count_params() < trainer.extract("teacher").count_params()
