"""Data sets of TFDS as files of arrays: what `load` reads from either pipeline is the same."""

import sys

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
tfds = pytest.importorskip("tensorflow_datasets")

import local_images  # noqa: E402

from keras_cascade.data import decode, load  # noqa: E402
from keras_cascade.data.decoded import decoded_path  # noqa: E402


class KcManyFiles(local_images.KcThumbnails):
    """Stored in several files, read side by side unless it is asked otherwise."""

    SPLITS = {"train": 80, "test": 10}  # TFDS takes 16 of a file in turn


class KcFloats(local_images.LocalImages):
    """Small images, but not of bytes."""

    SIDES = (8, 8)

    def _info(self):
        image = tfds.features.Image(shape=(8, 8, 1), dtype=np.float32)
        features = {"image": image, "label": tfds.features.ClassLabel(num_classes=5)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, examples):
        for index in range(examples):
            yield index, {"image": np.zeros((8, 8, 1), "float32"), "label": index % 5}


class KcNoExamplesOfTheLast(local_images.KcThumbnails):
    """Nine classes are declared, five are there."""

    def _info(self):
        info = super()._info()
        features = {**info.features, "label": tfds.features.ClassLabel(num_classes=9)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "keras_cascade" / "decoded"


def sorted_images(dataset):
    images, labels = (np.concatenate(each) for each in zip(*dataset, strict=True))
    order = np.argsort(images.mean((1, 2, 3)), kind="stable")
    return images[order], labels[order]


def test_a_file_of_ones_own(tmp_path):
    """Whole, in stored order, and as `load` takes what its user stored."""
    path = decode("kc_thumbnails", tmp_path / "files", tmp_path)
    assert path == tmp_path / "files" / "kc_thumbnails.npz"
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    builder = tfds.builder("kc_thumbnails", data_dir=tmp_path)
    with np.load(path) as found:
        assert set(found) == {"x_train", "y_train", "x_test", "y_test", "classes"}
        for split in ("train", "test"):
            stored = list(tfds.as_numpy(builder.as_dataset(split=split)))
            images, labels = found[f"x_{split}"], found[f"y_{split}"]
            np.testing.assert_array_equal(images, [example["image"] for example in stored])
            np.testing.assert_array_equal(labels, [example["label"] for example in stored])
            assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
    assert load(str(path), batch_size=4).input_shape == (24, 16, 3)


def test_the_first_so_many_are_the_same_from_several_files(tmp_path):
    builder = KcManyFiles(data_dir=tmp_path)
    config = tfds.download.DownloadConfig(num_shards=4)
    builder.download_and_prepare(download_config=config)
    assert builder.info.splits["train"].num_shards == 4
    path = decode("kc_many_files", tmp_path, tmp_path)
    builder_order = tfds.ReadConfig(interleave_cycle_length=1)
    stored = builder.as_dataset(split="train", read_config=builder_order)
    side_by_side = list(tfds.as_numpy(builder.as_dataset(split="train")))
    with np.load(path) as found:
        expected = [example["image"] for example in tfds.as_numpy(stored)]
        np.testing.assert_array_equal(found["x_train"], expected)
        assert not np.array_equal(found["x_train"], [each["image"] for each in side_by_side])
    one, two = (
        load(
            "kc_many_files",
            batch_size=8,
            data_dir=tmp_path,
            decoded=tmp_path,
            pipeline=pipeline,
            max_train_examples=13,
            augment=False,
        )
        for pipeline in ("numpy", "tf.data")
    )
    for found, expected in ((one.train, two.train), (one.test, two.test)):
        for each, other in zip(sorted_images(found), sorted_images(expected), strict=True):
            np.testing.assert_allclose(each, other, atol=1e-6)


def test_what_is_absent_is_decoded_once(tmp_path, cache, monkeypatch, capsys):
    options = {"batch_size": 16, "data_dir": tmp_path, "pipeline": "numpy"}
    data = load("kc_thumbnails", **options)
    assert (data.train_examples, data.test_examples, data.classes) == (50, 9, 5)
    path = cache / "kc_thumbnails.npz"
    assert f"Decoding kc_thumbnails once; kept in {path}." in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert load("kc_thumbnails", **options).test_examples == 9
    assert capsys.readouterr().out == ""
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="kc_thumbnails.npz' is damaged"):
        load("kc_thumbnails", **options)


def test_the_recipe_goes_by_the_name(tmp_path):
    path = decode("kc_thumbnails", tmp_path, tmp_path)
    path.rename(tmp_path / "cifar10.npz")
    named = load("cifar10", batch_size=9, pipeline="numpy", decoded=tmp_path)
    own = load(str(tmp_path / "cifar10.npz"), batch_size=9, pipeline="numpy")
    ((images, _),), ((plain, _),) = named.test, own.test
    pixels = (np.asarray(plain) + 1) / 2
    expected = (pixels - [0.4914, 0.4822, 0.4465]) / [0.2470, 0.2435, 0.2616]
    np.testing.assert_allclose(images, expected, atol=1e-5)


def test_classes_without_examples_are_counted(tmp_path):
    options = {"batch_size": 4, "data_dir": tmp_path, "decoded": tmp_path}
    for pipeline in ("tf.data", "numpy"):
        assert load("kc_no_examples_of_the_last", pipeline=pipeline, **options).classes == 9


def test_no_file_and_no_tensorflow(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(FileNotFoundError) as error:
        load("cifar10", batch_size=8)
    message = str(error.value)
    assert message.startswith(f"There is no '{cache / 'cifar10.npz'}', and TensorFlow")
    assert "data.decode('cifar10', 'decoded')" in message and "\n" not in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kc_varied", r"images of varied size; .* up to 128x128\. Take .* or .*: image_size=96"),
        ("kc_floats", r"images of float32; decoded are those of bytes \(uint8\)\. Take pipeline="),
        ("digits", "is no name of TensorFlow Datasets.*Digits .* are read as they are"),
        ("./images.npz", "is no name of TensorFlow Datasets"),
    ],
)
def test_what_is_not_decoded_is_refused(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        decode(name, tmp_path / "files", tmp_path)
    assert not (tmp_path / "files").exists()


@pytest.mark.parametrize("name", ["kc_varied", "kc_thumbnails"])
def test_images_of_a_size_of_their_own_are_those_tested_on_with_the_other_pipeline(tmp_path, name):
    path = decode(name, tmp_path, tmp_path, image_size=16)
    with np.load(path) as found:
        assert found["x_train"].shape == (50, 16, 16, 3)
    options = {"batch_size": 9, "data_dir": tmp_path, "image_size": 16}
    small, large = load(name, decoded=tmp_path, **options), load(name, **options)
    for each, other in zip(small.test, large.test, strict=True):
        np.testing.assert_allclose(each[0], other[0], atol=1.01 / 255)  # half of a grey level
        np.testing.assert_array_equal(each[1], other[1])


@pytest.mark.parametrize("image_size", [0, 129])
def test_a_size_out_of_range_is_refused(tmp_path, image_size):
    with pytest.raises(ValueError, match=f"image_size must be in 1..128. Received: {image_size}"):
        decode("kc_thumbnails", tmp_path, tmp_path, image_size=image_size)


def test_a_folder_of_decoded_files_is_read_though_tensorflow_is_there(tmp_path, monkeypatch):
    decode("kc_thumbnails", tmp_path, tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)  # which tf.data would ask
    assert load("kc_thumbnails", batch_size=10, decoded=tmp_path).train_examples == 50


def test_configurations_and_versions_have_files_of_their_own(tmp_path):
    assert decoded_path("emnist/letters:3.1.0", tmp_path) == tmp_path / "emnist-letters-3.1.0.npz"
