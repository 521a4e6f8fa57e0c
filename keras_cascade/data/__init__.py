"""Image classification data by name, ready for `fit`: as tf.data pipelines, or from NumPy arrays.

TensorFlow, TFDS and scikit-learn are not imported until used.
"""

from keras_cascade.data.array_batches import ArrayBatches
from keras_cascade.data.decoded import decode
from keras_cascade.data.image_data import ImageData
from keras_cascade.data.loading import load
from keras_cascade.data.sources import UnknownDatasetError

__all__ = ["ArrayBatches", "ImageData", "UnknownDatasetError", "decode", "load"]
