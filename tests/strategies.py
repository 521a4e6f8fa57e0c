"""One strategy for all tests of a process: TensorFlow mixes up the collectives of two."""

import functools
import os

import tensorflow as tf

REPLICAS = int(os.environ.get("REPLICAS", "2"))


@functools.cache
def mirrored():
    """A `MirroredStrategy` of `REPLICAS` parts of the CPU."""
    return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(REPLICAS)])
