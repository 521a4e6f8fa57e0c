"""ImageArrays: small images of one size, all of them in memory; only NumPy and Keras are needed."""

import dataclasses

import numpy as np
from keras import ops
from numpy.typing import NDArray

_AT_ONCE = 1000  # images resized together: as float32 a whole data set takes four times its bytes


@dataclasses.dataclass(frozen=True)
class ImageArrays:
    """Train and test images as stored, with their labels.

    Args:
        x_train: uint8 images (n, height, width, channels).
        y_train: int32 labels (n,), from 0.
        x_test: the same for the test split.
        y_test: the same for the test split.
        classes: number of classes.

    Example:
        >>> images = np.zeros((4, 8, 8, 1), "uint8")
        >>> labels = np.array([0, 1, 0, 1], "int32")
        >>> ImageArrays(images, labels, images, labels, classes=2).image_shape
        (8, 8, 1)
    """

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int32]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int32]
    classes: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        height, width, channels = self.x_train.shape[1:]
        return height, width, channels

    def first(self, max_train_examples: int | None) -> "ImageArrays":
        """The same with the first so many training images; None is all of them."""
        return dataclasses.replace(
            self,
            x_train=self.x_train[:max_train_examples],
            y_train=self.y_train[:max_train_examples],
        )

    def resized(self, size: int) -> "ImageArrays":
        """The same with square images, as `preprocessing.resize` makes them.

        Args:
            size: side in pixels.
        """
        x_train, x_test = (_resized(images, size) for images in (self.x_train, self.x_test))
        return dataclasses.replace(self, x_train=x_train, x_test=x_test)


def _resized(images, size):
    found = np.empty((len(images), size, size, images.shape[-1]), "uint8")
    for start in range(0, len(images), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        resized = ops.image.resize(
            images[part].astype("float32"),
            (size, size),
            antialias=True,
            data_format="channels_last",
        )
        found[part] = np.rint(ops.convert_to_numpy(resized))
    return found
