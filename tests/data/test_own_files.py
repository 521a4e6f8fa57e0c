"""Arrays and image files of one's own are read as they are; what is wrong with them is named."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_datasets")

from keras_cascade.data import load  # noqa: E402


def _arrays(**changes):
    random = np.random.default_rng(0)
    arrays = {
        "x_train": random.integers(0, 256, (10, 8, 8, 3), "uint8"),
        "y_train": np.arange(10) % 3,
        "x_test": random.integers(0, 256, (4, 8, 8, 3), "uint8"),
        "y_test": np.arange(4) % 3,
    }
    return {name: value for name, value in {**arrays, **changes}.items() if value is not None}


@pytest.fixture
def folder(tmp_path):
    """Two classes, images of several sizes and kinds, each of one colour that names its class."""
    for split, count in (("train", 6), ("test", 3)):
        for label, name in enumerate(("cat", "dog")):
            kind = tmp_path / "pets" / split / name
            kind.mkdir(parents=True)
            (kind / "notes.txt").write_text("no image")
            for index in range(count):
                image = np.full((30 + index, 40, 3), 200 * label, "uint8")
                encode = tf.io.encode_png if index % 2 else tf.io.encode_jpeg
                ending = "png" if index % 2 else "jpg"
                (kind / f"{index}.{ending}").write_bytes(encode(image).numpy())
    return tmp_path / "pets"


def test_arrays_are_read_as_they_are(tmp_path):
    path = str(tmp_path / "images.npz")
    arrays = _arrays()
    np.savez(path, **arrays)
    data = load(path, batch_size=4)
    assert (data.classes, data.input_shape) == (3, (8, 8, 3))
    assert (data.train_examples, data.test_examples, data.steps_per_epoch) == (10, 4, 3)
    ((images, labels),) = data.test
    np.testing.assert_allclose((images + 1) / 2 * 255, arrays["x_test"], atol=1e-3)
    np.testing.assert_array_equal(labels, arrays["y_test"])
    assert load(path, batch_size=4, max_train_examples=5).train_examples == 5


def test_grey_images_get_a_channel(tmp_path):
    grey = {name: _arrays()[name][..., 0] for name in ("x_train", "x_test")}
    np.savez(tmp_path / "grey.npz", **_arrays(**grey))
    assert load(str(tmp_path / "grey.npz"), batch_size=4).input_shape == (8, 8, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"y_test": None},
            "lacks y_test. An .npz file of images has the arrays x_train, y_train, x_test, y_test",
        ),
        ({"x_train": np.zeros((10, 8, 8, 3))}, r"x_train must be uint8 .* got float64 \(10, 8, 8"),
        ({"x_test": np.zeros((4, 9, 9, 3), "uint8")}, r"images \(8, 8, 3\) and x_test \(9, 9, 3\)"),
        ({"y_train": np.zeros(9, int)}, r"y_train must be 10 integers from 0"),
        ({"y_train": -np.ones(10, int)}, r"y_train must be 10 integers from 0"),
        ({"y_train": np.eye(10)}, r"y_train must be 10 integers from 0.* float64"),
        ({"y_train": np.zeros(10, int), "y_test": np.zeros(4, int)}, "one class only"),
        (
            {"x_train": np.array([{}], object)},
            "images.npz' is damaged, or no .npz file of plain arrays",
        ),
    ],
)
def test_wrong_arrays_are_named(tmp_path, changes, message):
    path = tmp_path / "images.npz"
    np.savez(path, **_arrays(**changes))
    with pytest.raises(ValueError, match=message):
        load(str(path), batch_size=4)


def test_damaged_and_absent_files_are_named(tmp_path):
    path = tmp_path / "images.npz"
    with pytest.raises(FileNotFoundError, match="There is no file '.*images.npz'"):
        load(str(path), batch_size=4)
    np.savez(path, **_arrays())
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="images.npz' is damaged, or no .npz file"):
        load(str(path), batch_size=4)
    with path.open("wb") as file:
        np.save(file, np.zeros((4, 8, 8, 3), "uint8"))
    with pytest.raises(ValueError, match="images.npz' is damaged, or no .npz file"):
        load(str(path), batch_size=4)


@pytest.mark.parametrize("path", ["./no_such_folder", "/no/such/folder", "../no_such_folder"])
def test_a_folder_that_is_not_there_is_named(path):
    with pytest.raises(FileNotFoundError, match=f"There is no folder '{path}'"):
        load(path, batch_size=4)


def test_images_that_would_be_left_out_are_named(folder):
    (folder / "train" / "left_out.gif").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match="left_out.gif' would be left out: .* Convert it to PNG"):
        load(str(folder), batch_size=4)


def test_a_folder_of_images(folder):
    data = load(str(folder), batch_size=4, image_size=16)
    assert (data.classes, data.input_shape) == (2, (16, 16, 3))
    assert (data.train_examples, data.test_examples) == (12, 6)
    for batches in (data.train, data.test):
        for images, labels in batches:
            colour = np.asarray(images).mean((1, 2, 3))
            np.testing.assert_allclose(colour, labels.numpy() * 400 / 255 - 1, atol=0.02)


def test_wrong_folders_are_named(folder, tmp_path, monkeypatch):
    broken = folder / "train" / "cat" / "7.jpg"
    broken.write_text("no image")
    with pytest.raises(ValueError, match=r"7.jpg' is no JPEG, PNG, GIF or BMP image"):
        load(str(folder), batch_size=4)
    broken.unlink()
    for split in ("train", "test"):
        (folder / split / "dog").rename(tmp_path / f"dog_{split}")
    with pytest.raises(ValueError, match=r"one class only, \['cat'\]"):
        load(str(folder), batch_size=4)
    (folder / "test").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="needs a split 'train' and one of test, validation, val"):
        load(str(folder), batch_size=4)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="Unknown data set 'pets'.* given as './pets'"):
        load("pets", batch_size=4)
