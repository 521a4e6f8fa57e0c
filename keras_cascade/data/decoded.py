"""Data sets of small images as files of arrays, decoded once, so that NumPy alone can read them.

Such a file is one that `own_arrays` takes, with the number of classes beside it. It is not
compressed: photographs would lose less than a tenth of their bytes, and be read several times as
slowly.
"""

import pathlib

import numpy as np

from keras_cascade.data.image_arrays import ImageArrays
from keras_cascade.data.own_files import checked_arrays, is_own, own_arrays
from keras_cascade.data.pipelines import fixed_view, input_shape
from keras_cascade.data.preprocessing import LARGEST_SMALL_SIDE, is_large, recipe_for
from keras_cascade.data.sources import DIGITS, Source, has_tensorflow, import_extra, tfds_source
from keras_cascade.report import cache_folder, whole_file
from keras_cascade.typing import Path


def decode(
    name: str, folder: Path, data_dir: Path | None = None, image_size: int | None = None
) -> pathlib.Path:
    """Writes a data set of images as one file of arrays, in stored order.

    Where TensorFlow is not installed, `load` trains on such files. TensorFlow and TFDS are needed
    here; the file can be copied to where they are not.

    Args:
        name: TFDS name of images of one size of up to 128x128 pixels, "cifar10"; of any images
            where `image_size` is given, "imagenette/160px-v2".
        folder: where to write; it is made where it is missing.
        data_dir: TFDS data folder, as for `load`.
        image_size: side in pixels of the square images to store, those that `load` would test on;
            large ones lose their margins. None: as they are.

    Returns:
        `pathlib.Path` of the file, `FOLDER/NAME.npz` ("/" and ":" in the name become "-"): an
        `.npz` file of x_train, y_train, x_test, y_test (uint8 images, int32 labels) and classes,
        which is also a data set of one's own for `load`.

    Raises:
        UnknownDatasetError: the name is unknown.
        ValueError: it is no TFDS name, or of images that are not of bytes, or that are large or
            of varied size and stay so; `image_size` is out of range.
        FileNotFoundError: as `load`.
        ImportError: tensorflow or tensorflow_datasets is not installed.
        OSError: the file cannot be written; nothing of it is left.

    Example:

    ```python
    path = data.decode("cifar10", "decoded")
    images = data.load("cifar10", batch_size=128, pipeline="numpy", decoded="decoded")
    ```
    """
    if name == DIGITS or is_own(name):
        raise ValueError(
            f"'{name}' is no name of TensorFlow Datasets, and only those are decoded. Digits and "
            ".npz files are read as they are; a folder of images needs the tf.data pipeline."
        )
    if image_size is not None and not 1 <= image_size <= LARGEST_SMALL_SIDE:
        raise ValueError(f"image_size must be in 1..{LARGEST_SMALL_SIDE}. Received: {image_size}")
    splits = recipe_for(name).test_splits
    source = tfds_source(name, data_dir, None, splits, seed=0, in_stored_order=True)
    _check_bytes(name, source)
    if image_size is None:
        _check_small(name, source)
    path = decoded_path(name, folder)
    x_train, y_train = _read(source, source.train, source.train_examples, image_size)
    x_test, y_test = _read(source, source.test, source.test_examples, image_size)
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    arrays["classes"] = np.array(source.classes)
    checked_arrays(str(path), arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return path


def decoded_path(name: str, folder: Path | None) -> pathlib.Path:
    """Where a decoded data set lies.

    Args:
        name: TFDS name.
        folder: None is `decoded` in keras_cascade's cache folder.

    Example:
        >>> decoded_path("emnist/letters", "decoded").name
        'emnist-letters.npz'
    """
    file = name.replace("/", "-").replace(":", "-") + ".npz"
    return pathlib.Path(cache_folder() / "decoded" if folder is None else folder, file)


def decoded_arrays(name: str, folder: Path | None, data_dir: Path | None) -> ImageArrays:
    """The arrays of a data set, decoded now if they are not there.

    Args:
        name, data_dir: as for `decode`.
        folder: as for `decoded_path`.

    Raises:
        FileNotFoundError: there is no file, and no TensorFlow to write it with.
        ValueError, ImportError, OSError: as `decode`; or the file is damaged.
    """
    path = decoded_path(name, folder)
    if not path.exists():
        if not has_tensorflow():
            raise FileNotFoundError(
                f"There is no '{path}', and TensorFlow, which would decode {name!r}, cannot be "
                'imported. Where TensorFlow and TFDS are installed, run python -c "from '
                f"keras_cascade import data; data.decode({name!r}, 'decoded')\", and copy "
                f"decoded/{path.name} to there."
            )
        print(f"Decoding {name} once; kept in {path}.")
        decode(name, path.parent, data_dir)
    return own_arrays(str(path))


def _check_small(name: str, source: Source) -> None:
    if is_large(source.image_shape):
        height, width, _ = source.image_shape
        sides = "varied size" if height is None or width is None else f"{height}x{width} pixels"
        raise ValueError(
            f"{name!r} has images of {sides}; decoded are those of one size of up to "
            f"{LARGEST_SMALL_SIDE}x{LARGEST_SMALL_SIDE}. Take pipeline='tf.data' for it, or have "
            "`data.decode` make them small: image_size=96."
        )


def _check_bytes(name: str, source: Source) -> None:
    if source.dtype != np.uint8:
        raise ValueError(
            f"{name!r} has images of {source.dtype}; decoded are those of bytes (uint8). Take "
            "pipeline='tf.data' for it."
        )


def _read(source: Source, examples, count: int, side: int | None) -> tuple[np.ndarray, np.ndarray]:
    """All images and labels of a split, in the order in which they come."""
    tf = import_extra("tensorflow", "Decoding data sets")
    view = fixed_view(source, input_shape(source, side))

    def of_bytes(stored, label):
        image, label = view(stored, label)
        return tf.saturate_cast(
            tf.round(image) if image.dtype.is_floating else image, tf.uint8
        ), label

    return next(examples.map(of_bytes, tf.data.AUTOTUNE).batch(count).as_numpy_iterator())
