"""Data from arrays: the images of the tf.data pipeline, in its own order, shifted its own way."""

import sys

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("sklearn")

from image_batches import assert_same_batches, batches, stacked  # noqa: E402
from resumable import SETTINGS, state  # noqa: E402

import keras_cascade as kc  # noqa: E402
from keras_cascade import recipe  # noqa: E402
from keras_cascade.data import load  # noqa: E402
from keras_cascade.data.array_batches import ArrayBatches, NumberedBatches  # noqa: E402
from keras_cascade.data.preprocessing import Recipe  # noqa: E402


def digits(**options):
    return load("digits", **{"batch_size": 400, "seed": 5, "pipeline": "numpy", **options})


@pytest.fixture
def own_file(tmp_path):
    """Images that all differ, in colours, oblong."""
    random = np.random.default_rng(0)
    path = tmp_path / "own.npz"
    np.savez(
        path,
        x_train=random.integers(0, 256, (30, 24, 16, 3), "uint8"),
        y_train=np.arange(30) % 3,
        x_test=random.integers(0, 256, (7, 24, 16, 3), "uint8"),
        y_test=np.arange(7) % 3,
    )
    return str(path)


@pytest.mark.parametrize(
    "options", [{}, {"image_size": 12}, {"max_train_examples": 20}], ids=["plain", "resized", "20"]
)
def test_what_is_not_random_is_as_from_tf_data(own_file, options):
    one, two = (
        load(own_file, batch_size=8, augment=False, pipeline=pipeline, **options)
        for pipeline in ("numpy", "tf.data")
    )
    for name in ("classes", "input_shape", "train_examples", "test_examples", "steps_per_epoch"):
        assert getattr(one, name) == getattr(two, name)
    for found, expected in ((one.test, two.test), (one.train, two.train)):
        images, labels = stacked(found)
        expected_images, expected_labels = stacked(expected)
        if found is one.train:  # each in its own order
            order, expected_order = (
                np.argsort(each.mean((1, 2, 3)), kind="stable")
                for each in (images, expected_images)
            )
            images, labels = images[order], labels[order]
            expected_images = expected_images[expected_order]
            expected_labels = expected_labels[expected_order]
        np.testing.assert_allclose(images, expected_images, atol=1e-6)
        np.testing.assert_array_equal(labels, expected_labels)
    assert one.train.element_spec == two.train.element_spec
    assert int(one.train.cardinality()) == one.steps_per_epoch == len(batches(one.train))


@pytest.mark.parametrize("flip", [True, False])
def test_images_are_cut_from_the_padded_and_mirrored(rng, flip):
    """Against NumPy: one of the crops, each about equally often, the other way round in half."""
    image = rng.integers(1, 256, (8, 4, 3), "uint8")  # pads by 1
    images, labels = np.repeat(image[None], 900, 0), np.zeros(900, "int32")
    recipe_ = Recipe(mean=(0.0,), std=(1 / 255,), flip=flip)
    cut, _ = NumberedBatches(images, labels, recipe_, 900, seed=1, augment=True)(0, 0)
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    crops = [padded[top : top + 8, left : left + 4] for top in range(3) for left in range(3)]
    views = np.array([*crops, *(crop[:, ::-1] for crop in crops)])
    matches = np.isclose(np.asarray(cut)[:, None], views[None], atol=1e-3).all((2, 3, 4))
    np.testing.assert_array_equal(matches.sum(1), 1)
    counts = matches.sum(0).reshape(2, 9)
    if flip:
        assert (counts > 20).all()  # 50 each
    else:
        assert (counts[0] > 60).all() and not counts[1].any()  # 100 each


def test_channels_are_reversed_where_the_recipe_says_so(rng):
    images = rng.integers(0, 256, (2, 4, 4, 3), "uint8")
    bgr = Recipe(mean=(0.1, 0.2, 0.3), std=(1 / 255,), bgr=True)
    found, _ = NumberedBatches(images, np.zeros(2, "int32"), bgr, 2)(0, 0)
    expected = (images.astype("float32") - 255 * np.float32([0.1, 0.2, 0.3]))[..., ::-1]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_an_epoch_is_known_by_its_number_and_the_seed():
    one, two = digits(), digits()
    passes = [batches(one.train) for _ in range(3)]
    for number, epoch in enumerate(passes):
        assert [len(labels) for _, labels in epoch] == [400, 400, 400, 237]
        assert_same_batches(epoch, batches(two.from_epoch(number).take(4)))
    assert_same_batches([*passes[1][3:], *passes[2]], batches(two.from_epoch(1).skip(3).take(5)))
    assert not np.array_equal(passes[0][0][1], passes[1][0][1])
    assert not np.array_equal(passes[0][0][1], batches(digits(seed=6).train)[0][1])
    plain = digits(augment=False)
    for epoch in (0, 1):
        images, labels = stacked(plain.from_epoch(epoch).take(4))
        assert len({image.tobytes() for image in images}) == 1437  # every image once
        np.testing.assert_array_equal(labels, np.concatenate([y for _, y in passes[epoch]]))
        assert not np.array_equal(images, np.concatenate([x for x, _ in passes[epoch]]))


def test_another_global_seed_changes_nothing():
    first = batches(digits().train)
    keras.utils.set_random_seed(123)
    assert_same_batches(first, batches(digits().train))


def test_batches_on_other_backends_count_passes_as_keras_asks():
    """In whatever order, as `fit` shuffles the batches of what is no tf.data.Dataset by default."""
    from keras_cascade.data import array_batches

    images = np.zeros((10, 8, 8, 1), "uint8")
    numbered = NumberedBatches(images, np.arange(10, dtype="int32"), Recipe(), 4, seed=0)
    expected = [[numbered(epoch, index)[1] for index in range(3)] for epoch in range(4)]
    train = array_batches._Passes(numbered, iter(range(9)), 3, 0)
    assert isinstance(train, keras.utils.PyDataset) and train.num_batches == 3

    def assert_labels(found, epoch):
        np.testing.assert_array_equal(np.concatenate(found), np.concatenate(expected[epoch]))

    assert_labels([labels for _, labels in train], 0)
    assert_labels([labels for _, labels in train], 1)
    train.on_epoch_begin()
    last_to_first = [train[index][1] for index in (2, 1, 0)]
    assert_labels(last_to_first[::-1], 2)
    part = train.skip(1)
    assert part.num_batches == 2
    assert_labels([expected[3][0], *(labels for _, labels in part)], 3)


def test_places_of_a_part():
    endless = ArrayBatches(lambda place: (place,))
    assert endless.num_batches is None
    assert [batch for (batch,) in endless.skip(5).take(3).skip(1)] == [6, 7]
    assert endless.take(3).skip(4).num_batches == 0
    assert endless.skip(2)[3] == (5,)


class Killed(Exception):
    pass


@pytest.mark.slow
def test_a_run_that_is_gone_on_with_ends_like_one_that_was_not(tmp_path):
    def run(folder, *callbacks):
        keras.utils.set_random_seed(7)
        inputs = keras.Input((8, 8, 1))
        x = keras.layers.Conv2D(6, 3, name="stem")(inputs)
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
        model = keras.Model(inputs, keras.layers.Dense(10)(x))
        images = digits(batch_size=64, max_train_examples=200)
        backup = kc.TrainingBackup(folder, every=2)
        return recipe.train_cascade(model, images, SETTINGS, callbacks, backup)[0]

    def kill(batch, logs):
        taken.append(batch)
        if len(taken) == 7:  # in the second epoch of four steps
            raise Killed

    taken, whole = [], run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", keras.callbacks.LambdaCallback(on_train_batch_end=kill))
    resumed = run(tmp_path / "killed")
    for (path, one), other in zip(state(whole).items(), state(resumed).values(), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=path)


def test_fit_takes_it_and_evaluates():
    images = digits(batch_size=64)
    inputs = keras.Input(images.input_shape)
    outputs = keras.layers.Dense(images.classes)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    settings = recipe.Settings(teacher_epochs=3, learning_rate=0.05)
    logs = recipe.train_teacher(model, images, settings)
    assert logs["val_accuracy"][-1] > 0.65
    assert recipe.accuracy_on_test(model, images) == pytest.approx(logs["val_accuracy"][-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replicas": 2}, "feeds one replica, not 2. .*install TensorFlow and take pipeline='tf"),
        ({"replicas": 2, "processes": 2}, "feeds one replica, not 2"),
        ({"pipeline": "jax"}, "must be 'tf.data', 'numpy' or None. Received: 'jax'"),
    ],
)
def test_what_it_does_not_do_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        digits(**options)


def test_images_that_it_does_not_take_are_refused(tmp_path):
    big, labels = np.zeros((2, 129, 8, 3), "uint8"), np.arange(2)
    path = str(tmp_path / "big.npz")
    np.savez(path, x_train=big, y_train=labels, x_test=big, y_test=labels)
    with pytest.raises(ValueError, match="129x8 pixels; the NumPy pipeline takes up to 128x128"):
        load(path, batch_size=2, pipeline="numpy")
    with pytest.raises(ValueError, match="is a folder of images, .*Put them into an .npz file, or"):
        load(str(tmp_path), batch_size=2, pipeline="numpy")


def test_tensorflow_where_it_is_there_and_numpy_where_not(monkeypatch):
    from keras_cascade.data import loading

    monkeypatch.setattr(loading, "array_data", lambda name, **options: "numpy")
    monkeypatch.setattr(loading, "tf_data", lambda name, **options: "tf.data")
    assert load("digits", batch_size=8) == "tf.data"
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert load("digits", batch_size=8) == "numpy"
    assert load("digits", batch_size=8, pipeline="tf.data") == "tf.data"
