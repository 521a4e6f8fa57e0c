"""What one replica of `tf.distribute` knows of the others; on every other backend there is one.

Keras divides each replica's mean loss by their number, which is the mean over the whole batch only
where all have as many examples. A last batch that does not divide evenly needs `share_of_batch`.
"""

from contextlib import nullcontext

import keras


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


def share_of_batch(weight):
    """This replica's weight over the mean weight of all replicas.

    Args:
        weight: scalar tensor, such as the number of examples that this replica was given.

    Returns:
        Scalar tensor; 1 where all replicas have as much.
    """
    if count() == 1:
        return keras.ops.ones((), "float32")
    import tensorflow as tf

    if tf.distribute.in_cross_replica_context():  # Keras tries the loss out before training
        return tf.ones((), "float32")
    weight = tf.cast(weight, "float32")
    total = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, weight)
    return tf.math.divide_no_nan(weight * count(), total)
