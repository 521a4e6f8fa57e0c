"""Networks to prune: the CIFAR networks of the pruning literature, and keras.applications by name.

Plain functional `keras.Model`s that end in logits; imports keras only, never a backend.
"""

from keras_cascade.models.blocks import synchronize_batch_norm
from keras_cascade.models.catalog import available_models, build_model, cifar_models
from keras_cascade.models.densenet import densenet40
from keras_cascade.models.efficientnet import efficientnet_b0
from keras_cascade.models.mobilenet import mobilenet_v2
from keras_cascade.models.resnet import resnet20, resnet32, resnet50, resnet56
from keras_cascade.models.vgg import vgg16
from keras_cascade.models.widest import widest_model

__all__ = [
    "available_models",
    "build_model",
    "cifar_models",
    "densenet40",
    "efficientnet_b0",
    "mobilenet_v2",
    "resnet20",
    "resnet32",
    "resnet50",
    "resnet56",
    "synchronize_batch_norm",
    "vgg16",
    "widest_model",
]
