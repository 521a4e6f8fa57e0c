"""Image classification data as tf.data pipelines that are ready for `fit`.

Decode once, keep the bytes in memory where they fit, shuffle all of it anew every epoch, augment
per batch, prefetch: training on two CPU cores must not wait for its data, nor share them with it.
Everything random is drawn from `seed`: the order from `Dataset.shuffle`, the augmentation from a
stream of seeds (`Dataset.random`) zipped to the batches, so a run can be repeated exactly.
"""

import math
import os

from keras_cascade.data import preprocessing
from keras_cascade.data.autotune import untuned
from keras_cascade.data.image_data import ImageData
from keras_cascade.data.own_files import is_own, own_source
from keras_cascade.data.preprocessing import Recipe, recipe_for
from keras_cascade.data.sharing import Sharing
from keras_cascade.data.sources import (
    DIGITS,
    Source,
    array_source,
    digits_arrays,
    import_extra,
    tfds_source,
)

# Decoded images are kept in memory up to this size (CIFAR-10 is 154 MB; ImageNet is not).
_CACHE_BYTES = 2**30
# Compressed photographs of about 0.1 MB each; files are read in random order besides.
_SHUFFLE_BUFFER = 4096
_DEFAULT_LARGE_SIZE = 224
_LARGE_PRIME = 1_000_003  # so that no epoch of one seed is one of the next seed


def tf_data(
    name: str,
    *,
    data_dir: str | os.PathLike | None,
    max_train_examples: int | None,
    image_size: int | None,
    batch_size: int,
    augment: bool,
    seed: int,
    sharing: Sharing,
) -> ImageData:
    """What `load` returns, as tf.data pipelines; see there.

    Args:
        sharing: `Sharing` of the replicas and processes.
    """
    tf = import_extra("tensorflow", "The tf.data pipeline")
    recipe = Recipe() if is_own(name) else recipe_for(name)
    if name == DIGITS:
        source = array_source(digits_arrays(), max_train_examples)
    elif is_own(name):
        source = own_source(name, max_train_examples)
    else:
        source = tfds_source(name, data_dir, max_train_examples, recipe.test_splits, seed)
    shape = input_shape(source, image_size)
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


def input_shape(source: Source, image_size: int | None) -> tuple[int, int, int]:
    """The shape of the images that a source is made to yield: (height, width, channels).

    Args:
        source: where they come from.
        image_size: side in pixels; None: as stored, 224 for large ones.
    """
    height, width, channels = source.image_shape  # open sizes are those of large images
    if image_size is None and preprocessing.is_large(source.image_shape):
        image_size = _DEFAULT_LARGE_SIZE
    return (image_size or height, image_size or width, channels)  # type: ignore[return-value]


def fixed_view(source: Source, shape: tuple[int, int, int]):
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
            self._cached = source.train.map(fixed_view(source, shape), tf.data.AUTOTUNE).cache()

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
        return untuned(stream.prefetch(self._tf.data.AUTOTUNE))

    def _batches(self, seed, seeds, reshuffle=True):
        tf, source = self._tf, self._source
        stored = self._cached or source.train
        buffer = source.train_examples if self._cached else _SHUFFLE_BUFFER
        images = stored.shuffle(min(source.train_examples, buffer), seed, reshuffle)
        if self._crops:
            images = tf.data.Dataset.zip(images, seeds).map(self._random_view, tf.data.AUTOTUNE)
        elif not self._cached:
            images = images.map(fixed_view(source, self._shape), tf.data.AUTOTUNE)
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
    images = source.test.map(fixed_view(source, shape), tf.data.AUTOTUNE)
    if _fits_in_memory(source, shape, source.test_examples):
        images = images.cache()
    return _finished(tf, images.batch(batch_size), source, recipe, sharing)


def _finished(tf, batches, source: Source, recipe: Recipe, sharing: Sharing):
    def standardize(images, labels):
        part = sharing.part(tf.shape(labels)[0])
        return preprocessing.standardize(images[part], recipe, source.dtype), labels[part]

    return untuned(batches.map(standardize, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE))
