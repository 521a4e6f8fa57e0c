"""The data of `prune_weights`, as the `fit` of tf_keras reads it.

Imported only where tf_keras is.
"""

import itertools
import random
from collections.abc import Iterator

import keras
import tensorflow as tf
import tf_keras
from keras import ops, tree

from keras_cascade.cascade import data_faults

_BATCHES = (tf.data.Dataset, Iterator, tf_keras.utils.Sequence)


def readable(data):
    """What to train on, for tf_keras.

    Args:
        data: a tuple of arrays, a `tf.data.Dataset`, a generator, a `keras.utils.PyDataset` or a
            `tf_keras.utils.Sequence`.

    Returns:
        The data; of a `PyDataset`, its batches as a `tf.data.Dataset`.

    Raises:
        TypeError: data of another kind.
        ValueError: a `PyDataset` without a batch.
    """
    return _readable(data, "training", tuple)


def readable_validation(data):
    """As `readable`, of `validation_data`: None is in order, and (x, y) may be a list there."""
    return None if data is None else _readable(data, "validation", (tuple, list))


def _readable(data, purpose, arrays):
    if isinstance(data, keras.utils.PyDataset):
        data_faults.check(data, None, purpose)
        return _as_dataset(data)
    if not isinstance(data, (arrays, _BATCHES)):
        raise TypeError(
            f"The {purpose} data must be a tuple of arrays (x, y), or batches in a "
            "tf.data.Dataset, a keras.utils.PyDataset or a generator, got a "
            f"{type(data).__name__}. "
            "tf.data.Dataset.from_generator makes a data set of any other iterable of batches."
        )
    return data


def _as_dataset(batches):
    """The batches of a `PyDataset`: in an order of chance, as `fit` of Keras 3 takes them."""
    count = batches.num_batches

    def one_epoch():
        batches.on_epoch_begin()
        places = itertools.count() if count is None else random.sample(range(count), count)
        for done, place in enumerate(places, start=1):
            batch = _in_numpy(batches[place])
            if done == count:  # nobody may ask for more than the last one
                batches.on_epoch_end()
            yield batch

    # Ranks only: a batch may be smaller, or have longer sequences, than the first one.
    signature = tree.map_structure(
        lambda array: tf.TensorSpec([None] * array.ndim, array.dtype), _in_numpy(batches[0])
    )
    size = tf.data.INFINITE_CARDINALITY if count is None else count
    dataset = tf.data.Dataset.from_generator(one_epoch, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(size))


def _in_numpy(batch):
    """A batch of any backend's tensors as tf.data takes it: no None, no list."""
    parts = keras.utils.unpack_x_y_sample_weight(batch)
    batch = keras.utils.pack_x_y_sample_weight(*parts)
    return tree.lists_to_tuples(tree.map_structure(ops.convert_to_numpy, batch))
