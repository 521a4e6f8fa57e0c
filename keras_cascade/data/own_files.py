"""Images of one's own: an `.npz` file of arrays, or a folder of folders of image files."""

import os
import pathlib
import zipfile

import numpy as np

from keras_cascade.data.image_arrays import ImageArrays
from keras_cascade.data.sources import Source, array_source, image_folder_source

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_CLASSES = "classes"
# Of a folder's images TFDS lists some by their endings, and passes over the others in silence.
_READ, _NOT_READ = (".jpg", ".jpeg", ".png"), (".gif", ".bmp", ".webp", ".tif", ".tiff")
# What TensorFlow decodes, by its first bytes.
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM")


def is_own(name: str) -> bool:
    """Whether a data set's name is the path of an `.npz` file or of a folder.

    A folder needs a slash, "./flowers", so that none takes the place of a data set of its name.
    What begins as only paths do is one, whether there is such a folder or not.
    """
    is_path = name.startswith((os.sep, os.curdir + os.sep, os.pardir + os.sep))
    return name.endswith(".npz") or is_path or (os.sep in name and os.path.isdir(name))


def own_source(path: str, max_train_examples: int | None) -> Source:
    """The images of an `.npz` file or a folder.

    Args:
        path: a file as `own_arrays` takes it. Or a folder with train/ and test/ (or validation/),
            in each a folder of JPEG or PNG files for every class.
        max_train_examples: keep the first so many; None is all.

    Returns:
        A `Source`.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it holds something else, named in the message.
        ImportError: tensorflow or, for folders, tensorflow_datasets is not installed.

    Example:
        >>> images = np.zeros((4, 8, 8, 1), "uint8")
        >>> np.savez("zeros.npz", x_train=images, y_train=[0, 1, 0, 1],
        ...          x_test=images, y_test=[0, 1, 0, 1])  # doctest: +SKIP
        >>> own_source("zeros.npz", None).classes  # doctest: +SKIP
        2
    """
    if path.endswith(".npz"):
        return array_source(own_arrays(path), max_train_examples)
    if not os.path.isdir(path):
        raise FileNotFoundError(f"There is no folder '{path}'.")
    for file in sorted(pathlib.Path(path).rglob("*")):
        if file.suffix.lower() in _READ:
            _check_signature(file)
        elif file.suffix.lower() in _NOT_READ:
            raise ValueError(
                f"'{file}' would be left out: of a folder, {', '.join(_READ)} files are read. "
                "Convert it to PNG, or move it away."
            )
    return image_folder_source(path, max_train_examples)


def own_arrays(path: str) -> ImageArrays:
    """The images of an `.npz` file, without TensorFlow.

    Args:
        path: a file with the arrays x_train, y_train, x_test and y_test: uint8 images (n, height,
            width, channels) or (n, height, width), and labels 0, 1, 2, ... as integers. An integer
            "classes" may say how many classes there are; else they go up to the largest label.

    Returns:
        `ImageArrays`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else, named in the message.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file '{path}'.")
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored if name in (*_ARRAYS, _CLASSES)}
    except (zipfile.BadZipFile, EOFError, OSError, TypeError, ValueError) as error:
        raise ValueError(  # TypeError: one array, as .npy files hold
            f"'{path}' is damaged, or no .npz file of plain arrays: {error}"
        ) from error
    return checked_arrays(path, found)


def checked_arrays(path: str, found: dict[str, np.ndarray]) -> ImageArrays:
    """The arrays of a file, images brought to four dimensions and labels to int32.

    Args:
        path: of the file, for messages.
        found: the arrays by the names that `own_arrays` says.

    Returns:
        `ImageArrays`.

    Raises:
        ValueError: they are not as `own_arrays` says.
    """
    missing = [name for name in _ARRAYS if name not in found]
    if missing:
        raise ValueError(
            f"'{path}' lacks {', '.join(missing)}. An .npz file of images has the arrays "
            f"{', '.join(_ARRAYS)}."
        )
    x_train, y_train, x_test, y_test = (found[name] for name in _ARRAYS)
    x_train, x_test = (x[..., None] if x.ndim == 3 else x for x in (x_train, x_test))
    for name, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        _check_arrays(path, name, x, y)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"'{path}': x_train has images {x_train.shape[1:]} and x_test {x_test.shape[1:]}."
        )
    seen = int(max(y_train.max(), y_test.max())) + 1
    return ImageArrays(
        x_train,
        y_train.astype("int32"),
        x_test,
        y_test.astype("int32"),
        _classes(path, found.get(_CLASSES), seen),
    )


def _classes(path: str, stored: np.ndarray | None, seen: int) -> int:
    """How many classes there are, where so many labels were seen."""
    if stored is None:
        if seen < 2:
            raise ValueError(f"'{path}' has images of one class only; a classifier needs two.")
        return seen
    if stored.shape != () or not np.issubdtype(stored.dtype, np.integer) or stored < max(seen, 2):
        raise ValueError(
            f"'{path}': {_CLASSES} must be one integer, at least 2 and above every label, the "
            f"largest of which is {seen - 1}; got {stored.tolist()}."
        )
    return int(stored)


def _check_arrays(path: str, name: str, x: np.ndarray, y: np.ndarray) -> None:
    if x.dtype != np.uint8 or x.ndim != 4 or not len(x):
        raise ValueError(
            f"'{path}': x_{name} must be uint8 images (n, height, width, channels), 0 to 255, got "
            f"{x.dtype} {x.shape}."
        )
    whole = np.issubdtype(y.dtype, np.integer) and y.shape == (len(x),) and y.min() >= 0
    if not whole:
        raise ValueError(
            f"'{path}': y_{name} must be {len(x)} integers from 0, one for each image, got "
            f"{y.dtype} {y.shape}."
        )


def _check_signature(file: pathlib.Path) -> None:
    with file.open("rb") as opened:
        if not opened.read(4).startswith(_SIGNATURES):
            raise ValueError(
                f"'{file}' is no JPEG, PNG, GIF or BMP image, whatever its name says. Delete or "
                "convert it."
            )
