"""One small cascade, made of nothing that backends do differently.

    python small_run.py FOLDER [REPLICAS]

Backends draw other random numbers from the same seed, so kernels are NumPy's, and there is no
dropout and no shuffling.
"""

import contextlib
import pathlib
import sys

import keras
import networks
import numpy as np

import keras_cascade as kc
from keras_cascade import recipe
from keras_cascade.saliency.taylor import taylor

EPOCHS, STEPS = 4, 5
EXAMPLES = 8 * STEPS - 1  # the last batch is smaller, and leaves none of four replicas empty
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Recorder(keras.callbacks.Callback):
    """Keeps the logs, and all levels' masks, after every step."""

    def on_train_begin(self, logs=None):
        self.logs, self.masks = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.logs.append(dict(logs))
        levels = (self.model.masks(name) for name in self.model.level_names[1:])
        self.masks.append(np.concatenate([mask for masks in levels for mask in masks.values()]))


def run(folder, replicas=1):
    """Trains, and writes `results.npz` and `cascade.keras`."""
    with _scope(replicas):
        cascade = _compiled(synchronized=replicas > 1)
    x, y = networks.examples_for(networks.small_convnet(), EXAMPLES)
    recorder = Recorder()
    pruning = kc.CascadeCallback(end=16, frequency=2)
    history = cascade.fit(
        x,
        y,
        batch_size=8,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=[pruning, recorder],
    ).history
    student = cascade.extract()
    results = {"masks": np.array(recorder.masks)}
    for name in recorder.logs[0]:
        results[f"logs {name}"] = np.array([float(logs[name]) for logs in recorder.logs])
    for name, values in history.items():
        results[f"epochs {name}"] = np.array(values)
    for name in cascade.level_names[1:]:
        results[f"saliency {name}"] = np.concatenate(list(cascade.saliency(name).values()))
    results["outputs"] = student.predict(x, verbose=0)
    results["taylor"] = taylor(kc.ChannelGraph(student), (x, y), LOSS)
    np.savez(folder / "results.npz", **results)
    cascade.save(folder / "cascade.keras")


def _scope(replicas):
    if replicas == 1:
        return contextlib.nullcontext()
    return recipe.distribution_scope(f"mirrored:{replicas}")[0]


def _compiled(synchronized):
    model = networks.drawn_alike(networks.small_convnet(regularizer="l2"))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = synchronized
    cascade = kc.CascadeDistiller(model, (0.3, 0.6), min_channels=1, momentum=0.9)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    compiled = keras.backend.backend() == "jax"  # where eager steps are the slower ones
    cascade.compile(optimizer, LOSS, metrics=["accuracy"], jit_compile=compiled)
    return cascade


if __name__ == "__main__":
    run(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:]))
