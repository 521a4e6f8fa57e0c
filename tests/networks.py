"""Small networks for tests."""

import functools

import keras
import numpy as np
from keras import layers

from keras_cascade.models import build_model, densenet, resnet

# "bottlenecks" and "densenet" have the blocks of the two deep ones, fewer of each.
ARCHITECTURES = ["vgg16", "resnet20", "bottlenecks", "MobileNetV2", "densenet"]
DEEP = ["resnet50", "DenseNet121"]

_BY_NAME = {
    "vgg16": ((32, 32, 3), 0.125),
    "resnet20": ((16, 16, 3), 0.5),
    "resnet50": ((16, 16, 3), 0.125),
    "MobileNetV2": ((32, 32, 3), 0.35),
    "DenseNet121": ((32, 32, 3), 1.0),
}


def build(name, classes=5):
    """An architecture with logits out, and weights in which no part is neutral."""
    if name == "bottlenecks":
        stages = ((2, 64), (2, 128))
        model = resnet._resnet(
            resnet._bottleneck_branch, stages, (16, 16, 3), classes, 0.125, 0.0, name
        )
    elif name == "densenet":
        model = densenet._densenet((3, 4, 3), 8, (16, 16, 3), classes, 0.0, name)
    else:
        input_shape, width = _BY_NAME[name]
        model = build_model(name, input_shape, classes, width=width, seed=3)
    return unsettled(model)


def unsettled(model, seed=5):
    """Moves biases and normalisation off their neutral initial values: they hide errors."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        if variable.dtype != "float32":
            continue
        value = keras.ops.convert_to_numpy(variable)
        if value.ndim == 1 or np.ptp(value) == 0:
            variable.assign(value + random.uniform(0.05, 0.3, variable.shape))
    return finalized(model)


def finalized(model):
    """Makes anew what layers derive from weights that were assigned (Normalization does)."""
    for layer in model.layers:
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    return model


def drawn_alike(model, seed=3):
    """The same kernels on every backend, whose own initializers draw others from the same seed."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        if len(variable.shape) > 1:
            variable.assign(random.normal(0.0, 0.3, variable.shape))
    return model


def small_convnet(
    regularizer=None, normalised=True, classes=4, activation=None, activity_regularizer=None
):
    """8x8x2 images; a plain convolution, a residual block, a dense head."""
    inputs = keras.Input((8, 8, 2), name="image")
    x = layers.Conv2D(6, 3, padding="same", name="stem", kernel_regularizer=regularizer)(inputs)
    if normalised:
        x = layers.BatchNormalization(name="stem_bn", momentum=0.5)(x)
    x = layers.Activation("tanh", name="stem_act")(x)
    y = layers.Conv2D(8, 3, padding="same", name="inner", activation="tanh")(x)
    y = layers.Conv2D(6, 3, padding="same", name="outer")(y)
    x = layers.Add(name="add")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(
        10, name="hidden", activation="tanh", activity_regularizer=activity_regularizer
    )(x)
    outputs = layers.Dense(classes, name="logits", activation=activation)(x)
    return unsettled(keras.Model(inputs, outputs, name="small"))


def examples_for(model, count, classes=4, seed=11):
    """Random images and labels for a model: a pair of arrays."""
    random = np.random.default_rng(seed)
    images = random.standard_normal((count, *model.input_shape[1:])).astype("float32")
    return images, random.integers(0, classes, count).astype("int32")


def failing_batches(x, y, example, size=8):
    """Batches of a `tf.data` pipeline of known length that raises an OSError at one example."""
    import tensorflow as tf

    def read(index):
        if index == example:
            raise OSError(f"image {index} cannot be read")
        return x[index]

    def pair(index):
        image = tf.numpy_function(read, [index], tf.float32)
        return tf.ensure_shape(image, x.shape[1:]), tf.gather(y, index)

    return tf.data.Dataset.range(len(x)).map(pair).batch(size)


def enliven(model, images, momentum):
    """No weight is neutral, and no signal dies on its way: the outputs depend on the image."""
    random = np.random.default_rng(5)
    for variable in model.weights:
        if len(variable.shape) == 1:
            value = keras.ops.convert_to_numpy(variable)
            variable.assign(value + random.uniform(0.05, 0.3, variable.shape))
    finalized(model)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum
    model(images, training=True)


@functools.cache
def can_have_channels_first():
    """Whether convolutions can be computed here with channels first."""
    if keras.backend.backend() != "tensorflow":
        return True
    import tensorflow as tf

    try:
        layers.Conv2D(1, 1, data_format="channels_first")(np.zeros((1, 1, 2, 2), "float32"))
    except tf.errors.UnimplementedError:
        return False
    return True


def two_branches():
    """Two inputs, one of them of integers, and two outputs by name."""
    image, words = (
        keras.Input((6, 6, 3), name="z_image"),
        keras.Input((5,), dtype="int32", name="a"),
    )
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    y = layers.GlobalAveragePooling1D()(layers.Embedding(7, 4)(words))
    both = layers.Concatenate()([x, y])
    outputs = {"small": layers.Dense(2)(both), "large": layers.Dense(3)(both)}
    return keras.Model([image, words], outputs)
