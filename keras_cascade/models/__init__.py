"""Networks to prune: the CIFAR networks of the pruning literature, and keras.applications by name.

Plain functional `keras.Model`s that end in logits; imports keras only, never a backend.
"""

from keras_cascade.models.catalog import available_models, build_model
from keras_cascade.models.resnet import resnet20, resnet32, resnet50, resnet56
from keras_cascade.models.vgg import vgg16

__all__ = [
    "available_models",
    "build_model",
    "resnet20",
    "resnet32",
    "resnet50",
    "resnet56",
    "vgg16",
]
