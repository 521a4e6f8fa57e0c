"""What one replica of `tf.distribute` knows of the others; on every other backend there is one.

Keras divides each replica's mean loss by their number, which is the mean over the whole batch only
where all have as many examples. A last batch that does not divide evenly needs `share_of_batch`.
"""

from contextlib import nullcontext

import keras
from keras import ops


def count():
    """How many replicas share a batch: an int."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def scope_of(model):
    """What to make variables in that belong to a model's own."""
    if keras.backend.backend() != "tensorflow":
        return nullcontext()
    return model.distribute_strategy.scope()


def weight_of(*factors):
    """The sum of a product: how much the entries of a batch weigh in all.

    Args:
        *factors: tensors, one entry for each example or for each entry of the examples, such as
            masks and sample weights.

    Returns:
        Scalar float32 tensor.
    """
    rank = max(len(factor.shape) for factor in factors)
    product = 1.0
    for factor in factors:
        missing = tuple(range(len(factor.shape), rank))
        product = product * ops.expand_dims(ops.cast(factor, "float32"), missing)
    return ops.sum(product)


def share_of_batch(weight):
    """This replica's weight over the mean weight of all replicas.

    Args:
        weight: scalar tensor, such as the number of examples that this replica was given.

    Returns:
        Scalar tensor; 1 where all replicas have as much.
    """
    if count() == 1:
        return ops.ones((), "float32")
    import tensorflow as tf

    if tf.distribute.in_cross_replica_context():  # Keras tries the loss out before training
        return tf.ones((), "float32")
    weight = tf.cast(weight, "float32")
    total = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, weight)
    return tf.math.divide_no_nan(weight * count(), total)
