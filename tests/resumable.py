"""A small run that takes states and goes on from them, as a new process would."""

import dataclasses
import types

import keras
import networks
import tensorflow as tf
from keras import layers

from keras_cascade import recipe
from keras_cascade.cascade.seeds import seed_states

EPOCHS, STEPS = 3, 4
SETTINGS = recipe.Settings(
    epochs=EPOCHS,
    levels=(0.3, 0.6),
    min_channels=1,
    end=0.7,
    momentum=0.5,
    freeze_teacher=False,
    hard_masks=False,
)


def network():
    """With dropout, whose random numbers must go on where they were, too."""
    x = inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(6, 3, name="stem")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    # Without a seed dropout on PyTorch draws from the process, whose state no backup holds.
    x = layers.GlobalAveragePooling2D()(layers.Dropout(0.3, seed=1)(x))
    return keras.Model(inputs, layers.Dense(4)(x))


def run(backup, *callbacks, **settings):
    """A new process's part: everything is made anew. Returns the cascade and its logs."""
    keras.utils.set_random_seed(7)
    model = network()
    x, y = networks.examples_for(model, 8 * STEPS)
    data = tf.data.Dataset.from_tensor_slices((x, y))

    def from_epoch(start):
        epochs = tf.data.Dataset.range(start, tf.int64.max)
        return epochs.flat_map(lambda epoch: data.shuffle(len(x), epoch).batch(8))

    images = types.SimpleNamespace(from_epoch=from_epoch, test=data.batch(8), steps_per_epoch=STEPS)
    chosen = dataclasses.replace(SETTINGS, **settings)
    return recipe.train_cascade(model, images, chosen, callbacks, backup)


def state(cascade):
    """All that training changes: dict from a number and a path to a NumPy array."""
    variables = [*cascade.weights, *cascade.optimizer.variables, *seed_states(cascade)]
    arrays = enumerate(
        (variable.path, keras.ops.convert_to_numpy(variable)) for variable in variables
    )
    return {f"{index} {path}": array for index, (path, array) in arrays}
