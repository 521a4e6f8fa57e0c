"""Image classification data by name, as tf.data pipelines that are ready for `fit`.

Decode once, keep the bytes in memory where they fit, shuffle all of it anew every epoch, augment
per batch, prefetch: training on two CPU cores must not wait for its data, nor share them with it.
Everything random is drawn from `seed`: the order from `Dataset.shuffle`, the augmentation from a
stream of seeds (`Dataset.random`) zipped to the batches, so a run can be repeated exactly.
"""

import dataclasses
import math
import os
from typing import Any

from keras_cascade.data import preprocessing
from keras_cascade.data.own_files import is_own, own_source
from keras_cascade.data.preprocessing import Recipe, recipe_for
from keras_cascade.data.sharing import Sharing
from keras_cascade.data.sources import DIGITS, Source, digits_source, import_extra, tfds_source

# Decoded images are kept in memory up to this size (CIFAR-10 is 154 MB; ImageNet is not).
_CACHE_BYTES = 2**30
# Compressed photographs of about 0.1 MB each; files are read in random order besides.
_SHUFFLE_BUFFER = 4096
_DEFAULT_LARGE_SIZE = 224
_LARGE_PRIME = 1_000_003  # so that no epoch of one seed is one of the next seed


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A data set ready for training: what `load` returns.

    Args:
        name: as given to `load`.
        train: `tf.data.Dataset` of (images float32 (batch, height, width, channels), labels int32
            (batch,)); one pass is one epoch, the last batch may be smaller.
        test: the same for the test split: every example once, not augmented, in a fixed order.
        classes: number of classes.
        input_shape: (height, width, channels) of one image.
        train_examples: images in one epoch of `train`.
        test_examples: images in `test`.
        steps_per_epoch: batches in one epoch of `train`.
        from_epoch: function from a number of epochs to the endless stream of batches that follows
            them. The order and the augmentation of an epoch depend on its number only, so a run
            can go on where it was broken off; `steps_per_epoch` batches are one epoch.

    Example:
        >>> load("digits", batch_size=32).steps_per_epoch
        45
    """

    name: str
    train: Any
    test: Any
    classes: int
    input_shape: tuple[int, int, int]
    train_examples: int
    test_examples: int
    steps_per_epoch: int
    from_epoch: Any


def load(
    name: str,
    *,
    batch_size: int,
    data_dir: str | os.PathLike | None = None,
    max_train_examples: int | None = None,
    image_size: int | None = None,
    augment: bool = True,
    seed: int = 0,
    replicas: int = 1,
    process: int = 0,
    processes: int = 1,
) -> ImageData:
    """Loads an image classification data set as shuffled, augmented, normalised batches.

    - "digits": scikit-learn's handwritten digits, 8x8x1, 1437 train / 360 test, no network;
      shifted by at most 1 pixel.
    - "cifar10", "cifar100": per-channel mean and deviation; padded by 4, cropped, mirrored.
    - "imagenet2012": as `keras.applications.resnet.preprocess_input`; random resized crop and
      mirroring for training, shorter side 256 and centre 224x224 for testing.
    - any other TFDS name with features "image" and "label": pixels in -1..1; images of one size
      of up to 128x128 are treated like CIFAR (padded by an eighth of the side), others like
      ImageNet. Sets of digits and letters are not mirrored.
    - "./flowers", "images.npz": a folder of images or a file of arrays, see `own_source`; treated
      like other TFDS names.

    Batches depend on `seed` and, as everything in tf.data, on TensorFlow's global seed
    (`keras.utils.set_random_seed`) at the time of this call; on nothing else. Each pass over
    `train` is the next epoch, with its own order and augmentation; how many passes `fit` begins is
    Keras' own affair, so to go on in the middle of a run take `from_epoch`.

    Args:
        name: "digits", a TensorFlow Datasets name, with its configuration if it has several, or a
            path.
        batch_size: images per batch, train and test.
        data_dir: folder of prepared TFDS data, which is then used without a network; None is
            TFDS' own. What is absent is downloaded there by TFDS.
        max_train_examples: train on the first so many images in stored order, a fixed subset that
            depends on no seed (TFDS and the split of "digits" shuffle before storing, so classes
            are about, not exactly, balanced); more than there are is all of them.
        image_size: side in pixels of the square images to yield. None is the stored size of
            small images, 224 for large ones.
        augment: False leaves out every random change of the training images; they are still
            shuffled.
        seed: integer >= 0.
        replicas: among how many a batch will be divided. TensorFlow fails where one is left with
            nothing: a last training batch that would is dropped, and test batches are made smaller.
        process: number of this process, from 0, among those that train together; see
            docs/machines.md. Each draws the same batches and yields its own part of each.
        processes: how many they are. Then every batch divides evenly among the replicas, all of
            theirs: a last training batch that does not is dropped, test batches are made smaller.

    Returns:
        `ImageData`.

    Raises:
        ValueError: if the name is unknown, the data set is no image classification, or an
            argument is out of range.
        FileNotFoundError: if `data_dir` is no folder, or the data is not in it and cannot be
            downloaded.
        ImportError: if an optional dependency is missing; it names the pip command.

    Example:
        >>> data = load("digits", batch_size=100, seed=1)
        >>> images, labels = next(iter(data.train))
        >>> images.shape, data.classes
        (TensorShape([100, 8, 8, 1]), 10)
    """
    _check_arguments(batch_size, max_train_examples, image_size, seed)
    sharing = Sharing(replicas, process, processes)
    sharing.check(batch_size)
    tf = import_extra("tensorflow", "Loading data sets")
    recipe = Recipe() if is_own(name) else recipe_for(name)
    if name == DIGITS:
        source = digits_source(max_train_examples)
    elif is_own(name):
        source = own_source(name, max_train_examples)
    else:
        source = tfds_source(name, data_dir, max_train_examples, recipe.test_splits, seed)
    shape = _input_shape(source, image_size)
    whole_only = sharing.fails(source.train_examples % batch_size)
    test_size = sharing.largest_test_batch(source.test_examples, batch_size)
    train = _TrainBatches(tf, source, recipe, shape, batch_size, whole_only, augment, seed, sharing)
    return ImageData(
        name=name,
        train=train.passes(),
        from_epoch=train.from_epoch,
        test=_test_batches(tf, source, recipe, shape, test_size, sharing),
        classes=source.classes,
        input_shape=shape,
        train_examples=source.train_examples,
        test_examples=source.test_examples,
        steps_per_epoch=math.ceil(source.train_examples / batch_size) - whole_only,
    )


def _check_arguments(
    batch_size: int, max_train_examples: int | None, image_size: int | None, seed: int
) -> None:
    for argument, value in (
        ("batch_size", batch_size),
        ("max_train_examples", max_train_examples),
        ("image_size", image_size),
    ):
        if value is not None and value <= 0:
            raise ValueError(f"{argument} must be at least 1. Received: {value}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0. Received: {seed}")


def _input_shape(source: Source, image_size: int | None) -> tuple[int, int, int]:
    height, width, channels = source.image_shape  # open sizes are those of large images
    if image_size is None and preprocessing.is_large(source.image_shape):
        image_size = _DEFAULT_LARGE_SIZE
    return (image_size or height, image_size or width, channels)  # type: ignore[return-value]


def _fixed_view(source: Source, shape: tuple[int, int, int]):
    """The map from (image as stored, label) to the image that is not augmented, and label."""
    size = shape[0]

    def view(stored, label):
        image = source.decode(stored)
        if preprocessing.is_large(source.image_shape):
            image = preprocessing.resize_center_crop(image, size)
        elif shape != tuple(source.image_shape):
            image = preprocessing.resize(image, size)
        return image, label

    return view


def _fits_in_memory(source: Source, shape: tuple[int, int, int], examples: int) -> bool:
    # Large images leave their resize as float32, 4 bytes a value.
    bytes_per_value = 4 if preprocessing.is_large(source.image_shape) else source.dtype.itemsize
    return examples * math.prod(shape) * bytes_per_value <= _CACHE_BYTES


class _TrainBatches:
    """The pipeline of the training images, for passes that count themselves or are numbered."""

    def __init__(self, tf, source, recipe, shape, batch_size, whole_only, augment, seed, sharing):
        self._tf, self._source, self._recipe, self._shape = tf, source, recipe, shape
        self._batch_size, self._whole_only, self._seed = batch_size, whole_only, seed
        self._sharing = sharing
        large = preprocessing.is_large(source.image_shape)
        self._crops, self._shifts = augment and large, augment and not large
        self._cached = None
        if not self._crops and _fits_in_memory(source, shape, source.train_examples):
            self._cached = source.train.map(_fixed_view(source, shape), tf.data.AUTOTUNE).cache()

    def passes(self):
        """A data set of which every pass is the next epoch."""
        seeds = self._tf.data.Dataset.random(seed=self._seed, rerandomize_each_iteration=True)
        return self._batches(self._seed, seeds.batch(2))

    def from_epoch(self, start):
        """An endless stream of batches that begins with a numbered epoch."""
        data = self._tf.data.Dataset

        def epoch_batches(epoch):
            graph = self._tf.compat.v1.get_default_graph()
            # Of a global seed 0, beside one that is a tensor, tf.data fails to make its own.
            graph.seed = graph.seed or _LARGE_PRIME
            seeds = data.counter().map(lambda index: self._tf.stack([_LARGE_PRIME * epoch, index]))
            return self._batches(self._seed + _LARGE_PRIME * epoch, seeds, reshuffle=False)

        stream = data.range(start, self._tf.int64.max).flat_map(epoch_batches)
        return stream.prefetch(self._tf.data.AUTOTUNE)

    def _batches(self, seed, seeds, reshuffle=True):
        tf, source = self._tf, self._source
        stored = self._cached or source.train
        buffer = source.train_examples if self._cached else _SHUFFLE_BUFFER
        images = stored.shuffle(min(source.train_examples, buffer), seed, reshuffle)
        if self._crops:
            images = tf.data.Dataset.zip(images, seeds).map(self._random_view, tf.data.AUTOTUNE)
        elif not self._cached:
            images = images.map(_fixed_view(source, self._shape), tf.data.AUTOTUNE)
        batches = images.batch(self._batch_size, drop_remainder=self._whole_only)
        if self._shifts:
            batches = tf.data.Dataset.zip(batches, seeds).map(self._shifted, tf.data.AUTOTUNE)
        return _finished(tf, batches, source, self._recipe, self._sharing)

    def _random_view(self, example, seed):
        image = self._source.decode(example[0])
        flip = self._recipe.flip
        return preprocessing.random_resized_crop(image, seed, self._shape[0], flip), example[1]

    def _shifted(self, batch, seed):
        return preprocessing.pad_crop_flip(batch[0], seed, self._recipe.flip), batch[1]


def _test_batches(
    tf,
    source: Source,
    recipe: Recipe,
    shape: tuple[int, int, int],
    batch_size: int,
    sharing: Sharing,
):
    images = source.test.map(_fixed_view(source, shape), tf.data.AUTOTUNE)
    if _fits_in_memory(source, shape, source.test_examples):
        images = images.cache()
    return _finished(tf, images.batch(batch_size), source, recipe, sharing)


def _finished(tf, batches, source: Source, recipe: Recipe, sharing: Sharing):
    def standardize(images, labels):
        part = sharing.part(tf.shape(labels)[0])
        return preprocessing.standardize(images[part], recipe, source.dtype), labels[part]

    return batches.map(standardize, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
