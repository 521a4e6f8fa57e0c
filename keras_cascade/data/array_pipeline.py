"""Image classification data as arrays: the input path that needs only NumPy and Keras."""

import os

from keras_cascade.data.array_batches import NumberedBatches, one_pass, passes, stream
from keras_cascade.data.decoded import decoded_arrays
from keras_cascade.data.image_arrays import ImageArrays
from keras_cascade.data.image_data import ImageData
from keras_cascade.data.own_files import is_own, own_arrays
from keras_cascade.data.preprocessing import LARGEST_SMALL_SIDE, Recipe, is_large, recipe_for
from keras_cascade.data.sharing import Sharing
from keras_cascade.data.sources import DIGITS, digits_arrays

_WITH_TENSORFLOW = "install TensorFlow and take pipeline='tf.data'"


def array_data(
    name: str,
    *,
    data_dir: str | os.PathLike | None,
    max_train_examples: int | None,
    image_size: int | None,
    batch_size: int,
    augment: bool,
    seed: int,
    sharing: Sharing,
    decoded: str | os.PathLike | None,
) -> ImageData:
    """What `load` returns, from arrays in memory; see there.

    Args:
        sharing: `Sharing` of one replica in one process; others are refused.
    """
    if sharing.replicas > 1:
        raise ValueError(
            f"The NumPy pipeline feeds one replica, not {sharing.replicas}. Train on one, or "
            f"{_WITH_TENSORFLOW}."
        )
    arrays = _arrays(name, decoded, data_dir).first(max_train_examples)
    _check_small(name, arrays)
    if image_size is not None and arrays.image_shape[:2] != (image_size, image_size):
        arrays = arrays.resized(image_size)
    recipe = Recipe() if is_own(name) else recipe_for(name)
    train = NumberedBatches(
        arrays.x_train, arrays.y_train, recipe, batch_size, seed=seed, augment=augment
    )
    test = NumberedBatches(arrays.x_test, arrays.y_test, recipe, batch_size)
    return ImageData(
        name=name,
        train=passes(train),
        from_epoch=lambda start: stream(train, start),
        test=one_pass(test),
        classes=arrays.classes,
        input_shape=arrays.image_shape,
        train_examples=len(arrays.x_train),
        test_examples=len(arrays.x_test),
        steps_per_epoch=train.steps,
    )


def _arrays(
    name: str, decoded: str | os.PathLike | None, data_dir: str | os.PathLike | None
) -> ImageArrays:
    """The arrays of a data set by its name."""
    if name == DIGITS:
        return digits_arrays()
    if not is_own(name):
        return decoded_arrays(name, decoded, data_dir)
    if not name.endswith(".npz"):
        raise ValueError(
            f"'{name}' is a folder of images, and the NumPy pipeline decodes none. Put them into "
            f"an .npz file, or {_WITH_TENSORFLOW}."
        )
    return own_arrays(name)


def _check_small(name: str, arrays: ImageArrays) -> None:
    if is_large(arrays.image_shape):
        height, width, _ = arrays.image_shape
        raise ValueError(
            f"'{name}' has images of {height}x{width} pixels; the NumPy pipeline takes up to "
            f"{LARGEST_SMALL_SIDE}x{LARGEST_SMALL_SIDE}. Store them smaller, or "
            f"{_WITH_TENSORFLOW}."
        )
