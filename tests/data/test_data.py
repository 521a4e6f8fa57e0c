"""The data pipelines: splits, determinism, augmentation, normalisation and errors; no network."""

import os
import pathlib
import socket
import sys

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("sklearn")

from image_batches import assert_same_batches, batches, stacked  # noqa: E402
from local_images import KcThumbnails, LocalImages  # noqa: E402
from marks import slow_case  # noqa: E402

from keras_cascade.data import ImageData, load, preprocessing  # noqa: E402

SHARED = pathlib.Path(__file__).resolve().parents[2].parent / "shared" / "tfds"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a test of the data pipelines tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def real_data(name):
    folder = pathlib.Path(os.environ.get("KERAS_CASCADE_TFDS_DIR", SHARED))
    if not (folder / name).is_dir():
        pytest.skip(f"no {name} in {folder}: set KERAS_CASCADE_TFDS_DIR to a TFDS folder with it")
    return folder


class KcOnlyTrain(LocalImages):
    """No split to test on."""

    SPLITS = {"train": 5}


class KcNoImages(LocalImages):
    """No images."""

    def _info(self):
        features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _generate_examples(self, examples):
        for index in range(examples):
            yield index, {"text": "no image"}


class KcUnavailable(LocalImages):
    """Its server is down."""

    def _split_generators(self, dl_manager):
        raise OSError("server not found")


def rows(images):
    return {image.tobytes() for image in images}


@pytest.mark.parametrize("pipeline", ["tf.data", "numpy"])
def test_no_pass_ends_by_waiting_for_tf_datas_tuner(pipeline):
    data = load("digits", batch_size=64, pipeline=pipeline)
    for passes in (data.train, data.test, data.from_epoch(0)):
        assert passes.options().autotune.enabled is False


def test_digits_split_is_stratified_disjoint_and_complete():
    data = load("digits", batch_size=64, augment=False)
    train_images, train_labels = stacked(data.train)
    test_images, test_labels = stacked(data.test)
    assert (data.train_examples, data.test_examples) == (1437, 360)
    assert (len(train_labels), len(test_labels)) == (1437, 360)
    fractions = np.bincount(test_labels) / np.bincount(np.concatenate([train_labels, test_labels]))
    np.testing.assert_allclose(fractions, 360 / 1797, atol=0.005)
    assert len(rows(train_images)) == 1437 and len(rows(test_images)) == 360  # no image twice
    assert not rows(train_images) & rows(test_images)


def test_digits_split_depends_on_no_seed():
    one, two = (load("digits", batch_size=500, seed=seed, augment=False) for seed in (1, 2))
    assert rows(stacked(one.train)[0]) == rows(stacked(two.train)[0])
    assert_same_batches(batches(one.test), batches(two.test))


def test_image_data_describes_the_batches():
    data = load("digits", batch_size=100, seed=3)
    assert isinstance(data, ImageData)
    assert (data.name, data.classes, data.input_shape) == ("digits", 10, (8, 8, 1))
    found = batches(data.train)
    assert [len(labels) for _, labels in found] == [100] * 14 + [37]
    assert data.steps_per_epoch == len(found) == int(data.train.cardinality())
    assert found[0][0].dtype == np.float32 and found[0][1].dtype == np.int32
    assert data.train.element_spec[0].shape.as_list() == [None, 8, 8, 1]
    with pytest.raises(AttributeError):
        data.name = "other"


def test_digits_are_normalised():
    images, _ = stacked(load("digits", batch_size=500, augment=False).train)
    assert abs(images.mean()) < 0.01
    assert images.std() == pytest.approx(1.0, abs=0.01)


def test_same_seed_same_epochs_and_epochs_differ():
    one, two = (load("digits", batch_size=256, seed=5) for _ in range(2))
    epochs = [batches(one.train) for _ in range(2)]
    for epoch in epochs:
        assert_same_batches(epoch, batches(two.train))
    first, second = epochs
    assert not np.array_equal(first[0][1], second[0][1])
    assert sorted(np.concatenate([labels for _, labels in first])) == sorted(
        np.concatenate([labels for _, labels in second])
    )
    other = batches(load("digits", batch_size=256, seed=6).train)
    assert not np.array_equal(first[0][1], other[0][1])


def taken(data, start, count):
    return batches(data.from_epoch(start).take(count))


@pytest.mark.parametrize("global_seed", [0, 7])
def test_an_epoch_is_known_by_its_number(global_seed):
    """Each has every image once, in its own order, shifted its own way, however one came to it."""
    keras.utils.set_random_seed(global_seed)
    one, two = (load("digits", batch_size=400, seed=5) for _ in range(2))
    assert one.steps_per_epoch == 4
    stream = taken(one, 0, 12)
    assert_same_batches(stream[8:], taken(two, 2, 4))
    assert_same_batches(stream[6:], batches(two.from_epoch(1).skip(2).take(6)))
    epochs = [stream[:4], stream[4:8], stream[8:]]
    assert not np.array_equal(epochs[0][0][1], epochs[1][0][1])
    for epoch in epochs:
        assert [len(labels) for _, labels in epoch] == [400, 400, 400, 237]
    plain = load("digits", batch_size=400, seed=5, augment=False)
    everything = rows(stacked(plain.train)[0])
    assert rows(np.concatenate([images for images, _ in taken(plain, 3, 4)])) == everything
    assert not np.array_equal(taken(plain, 0, 1)[0][0], stream[0][0])  # only these are shifted
    other = taken(load("digits", batch_size=400, seed=6), 0, 4)
    assert not np.array_equal(other[0][1], stream[0][1])


def test_crops_of_large_images_are_known_by_the_epoch(tmp_path):
    one, two = (
        load("kc_varied", batch_size=20, data_dir=tmp_path, image_size=32, seed=2) for _ in range(2)
    )
    stream = taken(one, 0, 6)
    assert_same_batches(stream[3:], taken(two, 1, 3))
    assert not np.array_equal(stream[0][0], stream[3][0])


@pytest.mark.parametrize(
    ("batch_size", "replicas", "last", "steps"),
    [
        (100, 2, 37, 15),  # 19 and 18
        (359, 4, 359, 4),  # 1 left: dropped
        (120, 4, 117, 12),
    ],
)
def test_no_replica_is_left_with_nothing(batch_size, replicas, last, steps):
    data = load("digits", batch_size=batch_size, replicas=replicas)
    sizes = [len(labels) for _, labels in taken(data, 0, data.steps_per_epoch)]
    assert (sizes[-1], len(sizes)) == (last, steps)
    assert [len(labels) for _, labels in batches(data.train)] == sizes
    tests = [len(labels) for _, labels in batches(data.test)]
    assert sum(tests) == 360
    for size in (*sizes, *tests):
        share = -(-size // replicas)  # as TensorFlow divides a batch
        assert len(range(0, size, share)) == replicas


def test_a_batch_too_small_for_the_replicas_is_refused():
    with pytest.raises(ValueError, match="multiple of 4"):
        load("digits", batch_size=6, replicas=4)


def test_augmentation_shifts_digits_by_a_pixel_and_never_mirrors_them():
    plain, augmented = (
        load("digits", batch_size=1437, seed=4, augment=augment) for augment in (False, True)
    )
    images, labels = batches(plain.train)[0]
    moved, moved_labels = batches(augmented.train)[0]
    # The order comes from the seed alone, so the two match example by example.
    np.testing.assert_array_equal(labels, moved_labels)
    assert moved.shape == images.shape
    black = images.min()
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=black)
    shifts = [
        np.isclose(moved, padded[:, top : top + 8, left : left + 8], atol=1e-6).all((1, 2, 3))
        for top in range(3)
        for left in range(3)
    ]
    assert np.any(shifts, axis=0).all()
    assert all(100 < shift.sum() < 250 for shift in shifts)  # each of nine about 160 times


def test_test_batches_are_complete_fixed_and_plain():
    data = load("digits", batch_size=50, seed=1)
    assert_same_batches(batches(data.test), batches(data.test))
    assert len(stacked(data.test)[1]) == 360


def test_max_train_examples_is_a_fixed_subset():
    whole = load("digits", batch_size=64, augment=False)
    one, two = (
        load("digits", batch_size=64, max_train_examples=200, seed=seed, augment=False)
        for seed in (1, 2)
    )
    subset = rows(stacked(one.train)[0])
    assert len(subset) == 200
    assert subset == rows(stacked(two.train)[0]) <= rows(stacked(whole.train)[0])
    assert (one.train_examples, one.test_examples, one.steps_per_epoch) == (200, 360, 4)
    assert load("digits", batch_size=64, max_train_examples=9999).train_examples == 1437


def test_image_size_resizes():
    data = load("digits", batch_size=10, image_size=12)
    assert data.input_shape == (12, 12, 1)
    assert next(iter(data.train))[0].shape == next(iter(data.test))[0].shape == (10, 12, 12, 1)


def test_fit_takes_it():
    data = load("digits", batch_size=64)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(data.classes)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    history = model.fit(
        data.train, epochs=3, validation_data=data.test, shuffle=False, verbose=0
    ).history
    assert history["val_accuracy"][-1] > 0.65


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("batch_size", 0),
        ("max_train_examples", 0),
        ("image_size", -1),
        ("seed", -1),
        ("replicas", 0),
    ],
)
def test_arguments_out_of_range_are_refused(argument, value):
    arguments = {"batch_size": 8, argument: value}
    with pytest.raises(ValueError, match=f"{argument} must be at least .*{value}"):
        load("digits", **arguments)


def test_varied_images_are_treated_like_imagenet(tmp_path):
    one, two = (
        load("kc_varied", batch_size=16, data_dir=tmp_path, image_size=32, seed=2) for _ in range(2)
    )
    assert (one.train_examples, one.test_examples, one.classes) == (50, 9, 5)
    assert one.input_shape == (32, 32, 3)
    first = batches(one.train)
    assert_same_batches(first, batches(two.train))
    second = batches(one.train)
    assert not np.array_equal(first[0][0], second[0][0])
    assert sum(len(labels) for _, labels in second) == 50
    for images, labels in [*first, *batches(one.test)]:
        assert images.shape[1:] == (32, 32, 3)
        # Class c is painted in 50c..50c+19: whatever the crop, the label still fits the image.
        pixels = (images.mean((1, 2, 3)) + 1) * 127.5
        np.testing.assert_array_equal(pixels.astype(int) // 50, labels)
    assert_same_batches(batches(one.test), batches(two.test))
    plain = load("kc_varied", batch_size=16, data_dir=tmp_path, image_size=32, augment=False)
    assert rows(stacked(plain.train)[0]) == rows(stacked(plain.train)[0])  # no random change
    assert load("kc_varied", batch_size=16, data_dir=tmp_path).input_shape == (224, 224, 3)


def test_small_images_of_one_size_are_treated_like_cifar(tmp_path):
    data = load("kc_thumbnails", batch_size=16, data_dir=tmp_path, max_train_examples=20)
    assert data.input_shape == (24, 16, 3)
    assert (data.train_examples, data.test_examples) == (20, 9)  # "test" before "validation"
    images, labels = stacked(data.train)
    assert images.shape == (20, 24, 16, 3)
    assert images.min() >= -1 and images.max() <= 1
    assert set(labels) <= set(range(5))


def test_data_that_is_there_is_not_prepared_again(tmp_path, monkeypatch):
    load("kc_thumbnails", batch_size=16, data_dir=tmp_path)
    monkeypatch.setattr(KcThumbnails, "_split_generators", None)  # preparing would now fail
    data = load("kc_thumbnails", batch_size=16, data_dir=tmp_path)
    assert len(stacked(data.test)[1]) == 9


def test_unknown_name_suggests(tmp_path):
    with pytest.raises(ValueError, match="Unknown data set 'cifar11'.*Did you mean.*'cifar10'"):
        load("cifar11", batch_size=8)
    with pytest.raises(ValueError, match="Did you mean 'digits'"):
        load("digit", batch_size=8, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("kc_no_images", "is no image classification"), ("kc_only_train", "needs a split 'train'")],
)
def test_unsuitable_data_is_refused(name, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load(name, batch_size=8, data_dir=tmp_path)


def test_absent_data_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder.*--data_dir"):
        load("cifar10", batch_size=8, data_dir=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="OSError: server not found.*--data_dir") as error:
        load("kc_unavailable", batch_size=8, data_dir=tmp_path)
    assert isinstance(error.value.__cause__, OSError)


@pytest.mark.parametrize(
    ("missing", "name"), [("tensorflow_datasets", "cifar10"), ("sklearn.datasets", "digits")]
)
def test_missing_extra_names_the_pip_command(missing, name, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)  # Python's way to make an import fail
    with pytest.raises(ImportError, match=r"pip install 'keras_cascade\[datasets\]'"):
        load(name, batch_size=8)


def test_pad_crop_flip_gives_every_crop_and_both_mirrorings():
    image = np.arange(1, 33, dtype="uint8").reshape(1, 8, 4, 1)  # pads by 1
    out = preprocessing.pad_crop_flip(np.repeat(image, 500, 0), (1, 2), flip=True).numpy()
    assert out.dtype == np.uint8
    padded = np.pad(image[0], ((1, 1), (1, 1), (0, 0)))
    crops = [padded[top : top + 8, left : left + 4] for top in range(3) for left in range(3)]
    expected = rows([*crops, *(np.ascontiguousarray(crop[:, ::-1]) for crop in crops)])
    assert rows(out) == expected
    again = preprocessing.pad_crop_flip(np.repeat(image, 500, 0), (1, 2), flip=True).numpy()
    np.testing.assert_array_equal(out, again)


def test_imagenet_standardisation_is_that_of_keras():
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3)).astype("uint8")
    recipe = preprocessing.recipe_for("imagenet2012")
    ours = preprocessing.standardize(images, recipe, images.dtype).numpy()
    theirs = keras.applications.resnet.preprocess_input(images.astype("float32"))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert recipe.test_splits == ("validation",)


def test_center_crop_resizes_the_shorter_side_to_256_224():
    image = np.zeros((512, 1024, 3), "uint8")
    image[:, 288:736] = 255  # columns 144 to 368 of the resized 256x512: exactly the centre crop
    crop = preprocessing.resize_center_crop(image, 224).numpy()
    assert crop.shape == (224, 224, 3)
    assert crop[:, 1:-1].min() > 250
    wider = np.roll(image, 8, axis=1)  # four columns to the right after resizing
    assert preprocessing.resize_center_crop(wider, 224).numpy()[:, :3].max() < 5


def test_recipes_mirror_neither_digits_nor_letters():
    for name in ("digits", "mnist", "emnist/letters", "svhn_cropped:3.0.0"):
        assert not preprocessing.recipe_for(name).flip
    assert preprocessing.recipe_for("cifar10").flip
    assert preprocessing.recipe_for("stl10").flip


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), slow_case("cifar100", 100)])
def test_real_cifar_is_normalised(name, classes):
    data = load(name, batch_size=500, data_dir=real_data(name), max_train_examples=1000, seed=1)
    assert (data.classes, data.input_shape, data.test_examples) == (classes, (32, 32, 3), 10_000)
    images, labels = stacked(data.test)
    assert images.shape == (10_000, 32, 32, 3)
    np.testing.assert_array_equal(np.bincount(labels), [10_000 // classes] * classes)
    np.testing.assert_allclose(images.mean((1, 2), dtype="float64").mean(0), 0, atol=0.05)
    np.testing.assert_allclose(images.std((0, 1, 2), dtype="float64"), 1, atol=0.05)
    epochs = [batches(data.train) for _ in range(2)]
    assert sum(len(labels) for _, labels in epochs[0]) == 1000
    assert not np.array_equal(epochs[0][0][1], epochs[1][0][1])


def test_real_imagenette_loads_without_its_builder():
    folder = real_data("imagenette_96")
    data = load("imagenette_96", batch_size=32, data_dir=folder, max_train_examples=64)
    assert (data.test_examples, data.input_shape) == (3925, (96, 96, 3))
    assert next(iter(data.train))[0].shape == (32, 96, 96, 3)
