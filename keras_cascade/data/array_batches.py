"""Batches of images that are arrays: drawn by NumPy on the host, finished by Keras on the device.

What is random in an epoch is drawn at once from a generator that its number and the seed alone
start, so that any batch of any epoch can be had at once. The host picks the images of a batch, as
bytes; a quarter of what float32 would be goes to the device, where one compiled function crops,
mirrors and standardises. JAX compiles it once for whole batches and once for a smaller last one.

Keras takes batches on JAX and PyTorch from a `keras.utils.PyDataset` as they are. On TensorFlow it
reads all data through tf.data, on the CPU, so there the function is part of a `tf.data.Dataset`.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_cascade.data.autotune import untuned
from keras_cascade.data.preprocessing import Recipe, padding
from keras_cascade.typing import Ints, Tensor

_WHITE = 255


def crop_padded(images: Tensor, draws: Tensor) -> Tensor:
    """Crops after black padding and mirroring, as drawn; `preprocessing.pad_crop_flip` draws too.

    Args:
        images: (batch, height, width, channels), any dtype; only the batch may be open.
        draws: integers (batch, 3): rows and columns to leave out at the top and the left of the
            padded image, from 0 to twice the padding, and 1 to mirror, else 0.

    Returns:
        Tensor of the shape and dtype of `images`.

    Example:
        >>> crop_padded(np.ones((2, 8, 8, 1), "uint8"), np.array([[0, 0, 0], [1, 1, 1]])).shape
        TensorShape([2, 8, 8, 1])
    """
    _, height, width, channels = images.shape
    pads = [(0, 0), *((padding(side), padding(side)) for side in (height, width)), (0, 0)]
    padded = ops.pad(images, pads)
    _, padded_height, padded_width, _ = padded.shape
    draws = ops.cast(draws, "int32")
    columns = ops.arange(width, dtype="int32")[None]
    columns = draws[:, 1:2] + ops.where(draws[:, 2:3] > 0, width - 1 - columns, columns)
    first_rows = ops.arange(ops.shape(images)[0], dtype="int32")[:, None] * padded_height
    rows = first_rows + draws[:, 0:1] + ops.arange(height, dtype="int32")[None]
    # All pixels in one list and one look-up: of the ways that Keras has on every backend, the one
    # that is fast on TensorFlow too.
    places = rows[:, :, None] * padded_width + columns[:, None, :]
    return ops.take(ops.reshape(padded, (-1, channels)), places, axis=0)


class NumberedBatches:
    """The batches of a data set, each known by its epoch and its index.

    Args:
        images: uint8 (n, height, width, channels).
        labels: int32 (n,).
        recipe: `Recipe`, for standardisation and mirroring.
        batch_size: images per batch; the last one of an epoch may have fewer.
        seed: of the order and the augmentation; None: stored order, nothing random.
        augment: whether images are shifted and, where the recipe allows it, mirrored.

    Attributes:
        steps: batches in an epoch.

    Example:
        >>> images, labels = np.zeros((5, 8, 8, 1), "uint8"), np.arange(5, dtype="int32")
        >>> batches = NumberedBatches(images, labels, Recipe(), batch_size=2, seed=0)
        >>> batches.steps, len(batches(epoch=3, index=2)[1])
        (3, 1)
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int32],
        recipe: Recipe,
        batch_size: int,
        *,
        seed: int | None = None,
        augment: bool = False,
    ) -> None:
        self.steps = -(-len(labels) // batch_size)
        self._images, self._labels, self._recipe = images, labels, recipe
        self._batch_size, self._seed, self._augment = batch_size, seed, augment
        self._drawn = functools.lru_cache(maxsize=2)(self._draw)
        self._on_device = _compiled(self.finished)

    def __call__(self, epoch: int, index: int) -> tuple[Tensor, NDArray[np.int32]]:
        """A batch, ready for a network.

        Args:
            epoch: number of the epoch, from 0.
            index: of the batch in it, from 0.

        Returns:
            Images, a float32 tensor (batch, height, width, channels) of Keras' backend, and
            labels, int32 (batch,).
        """
        inputs, labels = self.stored(epoch, index)
        return self._on_device(*inputs), labels

    def stored(self, epoch: int, index: int) -> tuple[tuple[NDArray, ...], NDArray[np.int32]]:
        """The same before `finished`, which takes the first of the two: arrays and labels."""
        order, draws = self._drawn(epoch)
        part = slice(index * self._batch_size, (index + 1) * self._batch_size)
        chosen = part if order is None else order[part]
        inputs = [self._images[chosen]] if draws is None else [self._images[chosen], draws[part]]
        return tuple(inputs), self._labels[chosen]

    def finished(self, images: Tensor, draws: Tensor | None = None) -> Tensor:
        """Crops, mirrors and standardises; see `crop_padded` and `preprocessing.standardize`."""
        if draws is not None:
            images = crop_padded(images, draws)
        mean, std = (
            ops.convert_to_tensor(each, "float32") for each in (self._recipe.mean, self._recipe.std)
        )
        standardized = (ops.cast(images, "float32") / _WHITE - mean) / std
        return ops.flip(standardized, axis=-1) if self._recipe.bgr else standardized

    def _draw(self, epoch: int) -> tuple[Ints | None, Ints | None]:
        """The order of an epoch, and for each image in it what `crop_padded` takes."""
        if self._seed is None:
            return None, None
        random = np.random.default_rng((self._seed, epoch))
        count, height, width, _ = self._images.shape
        order = random.permutation(count)
        if not self._augment:
            return order, None
        highest = (2 * padding(height), 2 * padding(width), int(self._recipe.flip))
        return order, random.integers(0, highest, (count, 3), "int32", endpoint=True)


class ArrayBatches(keras.utils.PyDataset):
    """Batches by their place, as `fit` and `evaluate` take them, with tf.data's `skip` and `take`.

    Args:
        make: function from a place, from 0, to the batch there.
        count: how many there are; None: endlessly many.
        first: place of the first of them.

    Example:
        >>> two = ArrayBatches(lambda place: (np.full(2, place),), count=5).skip(1).take(2)
        >>> [int(batch[0][0]) for batch in two]
        [1, 2]
    """

    def __init__(
        self, make: Callable[[int], tuple[Any, ...]], count: int | None = None, first: int = 0
    ) -> None:
        super().__init__()  # one worker: Keras asks from the thread that trains
        self._make, self._count, self._first = make, count, first

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """The batch at a place, counted from the first one."""
        return self._make(self._first + index)

    @property
    def num_batches(self) -> int | None:
        """How many batches there are; None: endlessly many."""
        return self._count

    def skip(self, count: int) -> "ArrayBatches":
        """The batches without the first so many, which are not made."""
        left = None if self._count is None else max(0, self._count - count)
        return self._part(left, self._first + count)

    def take(self, count: int) -> "ArrayBatches":
        """The first so many batches."""
        return self._part(count if self._count is None else min(count, self._count), self._first)

    def _part(self, count, first):
        return ArrayBatches(self._make, count, first)


class _Passes(ArrayBatches):
    """The batches of one epoch; every pass over them, or over a part of them, is the next epoch."""

    def __init__(self, batches: NumberedBatches, numbers: Iterator[int], count: int, first: int):
        super().__init__(lambda index: batches(self._epoch, index), count, first)
        self._batches, self._numbers, self._epoch = batches, numbers, 0
        self._indices = range(first, first + count)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        epoch = next(self._numbers)
        return (self._batches(epoch, index) for index in self._indices)

    def on_epoch_begin(self) -> None:
        """What Keras says before it asks for the batches of an epoch, in whatever order."""
        self._epoch = next(self._numbers)

    def _part(self, count, first):
        return _Passes(self._batches, self._numbers, count, first)


def passes(batches: NumberedBatches) -> Any:
    """A data set of one epoch, of which every pass is the next one."""
    numbers = itertools.count()
    if keras.backend.backend() != "tensorflow":
        return _Passes(batches, numbers, batches.steps, 0)
    return _counted(batches, lambda: next(numbers))


def stream(batches: NumberedBatches, start: int) -> Any:
    """An endless data set that begins with a numbered epoch."""
    first = start * batches.steps

    def place(index):
        return divmod(first + index, batches.steps)

    if keras.backend.backend() != "tensorflow":
        return ArrayBatches(lambda index: batches(*place(index)))
    return _tf_dataset(batches, lambda: map(place, itertools.count()))


def one_pass(batches: NumberedBatches) -> Any:
    """A data set of the first epoch, the same in every pass."""
    if keras.backend.backend() != "tensorflow":
        return ArrayBatches(functools.partial(batches, 0), batches.steps)
    return _counted(batches, lambda: 0)


def _counted(batches, next_epoch):
    """A `tf.data.Dataset` of one epoch, the number of which a function says for each pass."""
    import tensorflow as tf

    found = _tf_dataset(
        batches, lambda: zip(itertools.repeat(next_epoch()), range(batches.steps), strict=False)
    )
    return found.apply(tf.data.experimental.assert_cardinality(batches.steps))


def _tf_dataset(batches, places):
    """A `tf.data.Dataset` of the batches at (epoch, index), which a function gives for a pass."""
    import tensorflow as tf

    inputs, labels = batches.stored(0, 0)
    signature = [tf.TensorSpec((None, *each.shape[1:]), each.dtype) for each in (*inputs, labels)]
    stored = tf.data.Dataset.from_generator(
        lambda: (batches.stored(*place) for place in places()),
        output_signature=(tuple(signature[:-1]), signature[-1]),
    )
    finished = stored.map(
        lambda inputs, labels: (batches.finished(*inputs), labels), tf.data.AUTOTUNE
    )
    return untuned(finished.prefetch(tf.data.AUTOTUNE))


def _compiled(function):
    """The function as one program, where the backend does not run it as one anyway."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)
