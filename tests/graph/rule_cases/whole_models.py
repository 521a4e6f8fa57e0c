"""Cases that take a whole model: sharing, nesting, open sizes."""

import keras
import networks
from keras import layers, ops

from rule_cases.building import IMAGE, SEQUENCE, chain, closed


def _siamese():
    one, two = keras.Input(IMAGE, name="one"), keras.Input(IMAGE, name="two")
    tower = keras.Sequential(
        [keras.Input(IMAGE), layers.Conv2D(6, 3, name="made"), layers.GlobalAveragePooling2D()]
    )
    distance = layers.Subtract()([tower(one), tower(two)])
    outputs = [layers.Dense(2, name="first")(distance), layers.Dense(3, name="second")(tower(one))]
    return networks.unsettled(keras.Model({"one": one, "two": two}, outputs))


def _transfer():
    base = keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.Conv2D(6, 3, name="made"),
            keras.Sequential([layers.BatchNormalization(), layers.Conv2D(4, 1)]),
        ]
    )
    inputs = keras.Input(IMAGE)
    return closed(inputs, layers.Dropout(0.5)(base(inputs * 2.0, training=False)))


def _two_couplings():
    """One convolution first after a plain tensor, then after the same concatenated with itself."""
    inputs = keras.Input(IMAGE)
    shared = layers.Conv2D(6, 1, name="shared")
    part = layers.Conv2D(3, 3, padding="same", name="made")(inputs)
    other = layers.Conv2D(6, 3, padding="same", name="other")(inputs)
    return closed(inputs, layers.Add()([shared(layers.Concatenate()([part, part])), shared(other)]))


def _shared_normalization():
    """One LayerNormalization over sequences and over vectors."""
    inputs = keras.Input(SEQUENCE)
    norm = layers.LayerNormalization()
    x = norm(layers.Dense(6, name="made")(inputs))
    y = norm(layers.Dense(6)(layers.GlobalMaxPooling1D()(x)))
    return networks.unsettled(keras.Model(inputs, [layers.Dense(3)(x), layers.Dense(2)(y)]))


def _shared_reshape():
    inputs = keras.Input(SEQUENCE)
    reshape = layers.Reshape((7, 1, 6))
    one, two = layers.Dense(6, name="made")(inputs), layers.Dense(6, name="other")(inputs)
    return closed(inputs, layers.Conv2D(2, 1)(layers.Concatenate()([reshape(one), reshape(two)])))


WHOLE_MODELS = {
    "siamese": _siamese,
    "transfer_learning": _transfer,
    "shared_couples_places": _two_couplings,
    "shared_reshape": _shared_reshape,
    "open_steps": lambda: chain(
        lambda x: x[:, 1:],
        lambda x: ops.transpose(x, (0, 2, 1)),
        layers.GlobalMaxPooling1D(data_format="channels_first"),
        shape=(None, 3),
        first=layers.Conv1D(6, 3, name="made"),
    ),
    "shared_normalization": _shared_normalization,
    "open_last_axis": lambda: chain(
        layers.GlobalMaxPooling1D(),
        shape=(3, None),
        first=lambda x: layers.Conv1D(6, 3, name="made")(layers.Permute((2, 1))(x)),
    ),
    "open_size": lambda: networks.unsettled(
        keras.Sequential(
            [
                keras.Input((None, None, 3)),
                layers.Conv2D(6, 3, name="made"),
                layers.Reshape((-1, 6)),
                layers.GlobalAveragePooling1D(),
                layers.Dense(3),
            ]
        )
    ),
}
