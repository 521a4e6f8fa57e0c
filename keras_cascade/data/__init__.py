"""Image classification data by name, as tf.data pipelines; nothing heavy is imported until used."""

from keras_cascade.data.pipelines import ImageData, load

__all__ = ["ImageData", "load"]
