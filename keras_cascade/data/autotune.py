"""untuned: tf.data pipelines that do not wait at the end of every epoch."""

from typing import Any


def untuned(batches: Any) -> Any:
    """The same batches, without tf.data's tuner of parallel calls and prefetching.

    The tuner's thread looks at a pass after 10, 20, 40 ms and so on, and the iterator of a pass
    that ends waits for its next look, which may be as far away as the pass was long. Without it,
    `tf.data.AUTOTUNE` means as many parallel calls as there are cores, 16 at most.

    Args:
        batches: a `tf.data.Dataset`.

    Returns:
        A `tf.data.Dataset`.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)
