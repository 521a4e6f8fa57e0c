"""Trains a small cascade and writes what came out, for comparison with other replicas and backends.

    KERAS_BACKEND=jax python tests/chaos/trained.py OUTPUT [REPLICAS]

Weights at the beginning and data are NumPy's, so they are the same everywhere.
"""

import contextlib
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "tests")]
import quiet_start  # isort: skip  # noqa: E402, F401

import keras  # noqa: E402
import networks  # noqa: E402
import numpy as np  # noqa: E402

import keras_cascade as kc  # noqa: E402
from keras_cascade import recipe  # noqa: E402

EXAMPLES, BATCH, EPOCHS = 31, 8, 5  # the last batch is smaller, and leaves no replica empty


def main(output, replicas="1"):
    name = "none" if replicas == "1" else f"mirrored:{replicas}"
    scope, _ = recipe.distribution_scope(name)
    with scope if replicas != "1" else contextlib.nullcontext():
        cascade = _cascade(synchronized=replicas != "1")
    x, y = networks.examples_for(cascade._base, EXAMPLES)
    pruning = kc.CascadeCallback(end=16, frequency=1)
    logs = cascade.fit(
        x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[pruning]
    ).history
    levels = cascade.level_names[1:]
    np.savez(
        output,
        losses=np.array([values for key, values in sorted(logs.items()) if "loss" in key]),
        saliencies=_joined(cascade.saliency(level) for level in levels),
        masks=_joined(cascade.masks(level) for level in levels).astype(float),
        weights=np.concatenate(
            [
                keras.ops.convert_to_numpy(v).ravel()
                for k in levels
                for v in cascade.extract(k).weights
            ]
        ),
    )


def _cascade(synchronized):
    model = networks.small_convnet(regularizer="l2")
    random = np.random.default_rng(0)
    for variable in model.weights:
        spread = 1.0 / np.sqrt(max(1, np.prod(variable.shape[:-1])))
        value = random.normal(0.0, spread, variable.shape)
        variable.assign(np.abs(value) + 0.5 if "variance" in variable.path else value)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = synchronized
    cascade = kc.CascadeDistiller(model, (0.3, 0.6), min_channels=1, momentum=0.5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    cascade.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"], jit_compile=False)
    return cascade


def _joined(by_group):
    return np.concatenate([values for groups in by_group for values in groups.values()])


if __name__ == "__main__":
    main(*sys.argv[1:])
