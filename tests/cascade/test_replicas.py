"""Invariant 4: replicas together do what one device does with the whole batch."""

import contextlib
import os
import subprocess
import sys

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from marks import slow
from strategies import REPLICAS, mirrored

import keras_cascade as kc
from keras_cascade.models import synchronize_batch_norm

pytestmark = pytest.mark.only_on("tensorflow", reason="replicas are those of tf.distribute")
BATCH, EPOCHS = 8, 5
EXAMPLES = 31  # the last batch, 7, divides evenly among no replicas, but leaves none empty


def fitted(make, distributed, callbacks=(), sample_weight=None, examples=None):
    """A trainer after 20 steps, and its history.

    Args:
        make: function without arguments that makes it, compiled.
        distributed: whether on `REPLICAS` replicas.
        examples: (x, y); None: images.
    """
    keras.utils.set_random_seed(7)
    with mirrored().scope() if distributed else contextlib.nullcontext():
        trainer = make()
    x, y = examples or networks.examples_for(networks.small_convnet(), EXAMPLES)
    arrays = (x, y) if sample_weight is None else (x, y, sample_weight)
    data = tf.data.Dataset.from_tensor_slices(arrays).batch(BATCH)
    history = trainer.fit(
        data, epochs=EPOCHS, validation_data=data, callbacks=list(callbacks), verbose=0
    )
    return trainer, history.history


def assert_alike(one, many):
    """The same logs, and the same weights on every replica."""
    (one, logs_one), (many, logs_many) = one, many
    assert set(logs_one) == set(logs_many)
    for name, values in logs_one.items():
        np.testing.assert_allclose(logs_many[name], values, rtol=1e-5, atol=1e-6, err_msg=name)
    for expected, variable in zip(one.weights, many.weights, strict=True):
        expected = keras.ops.convert_to_numpy(expected)
        copies = getattr(variable.value, "values", [variable.value])
        for found in copies:
            atol = 1e-5 * max(1e-3, np.abs(expected).max())
            np.testing.assert_allclose(
                found.numpy(), expected, rtol=1e-5, atol=atol, err_msg=variable.path
            )


def cascade(loss_options=None, levels=(0.3, 0.6), model=None, **options):
    model = model or synchronize_batch_norm(networks.small_convnet(regularizer="l2"))
    made = kc.CascadeDistiller(model, levels, min_channels=1, momentum=0.5, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, **(loss_options or {}))
    made.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"])
    return made


def distiller():
    student = networks.small_convnet(normalised=False, activity_regularizer="l2")
    made = kc.Distiller(student, synchronize_batch_norm(networks.small_convnet()))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"])
    return made


@pytest.mark.parametrize("freeze_teacher", [False, *slow(True)])
@pytest.mark.parametrize("levels", [(0.6,), *slow((0.3, 0.6))], ids=str)
def test_cascade_on_replicas(levels, freeze_teacher):
    def make():
        return cascade(levels=levels, freeze_teacher=freeze_teacher)

    runs = [
        fitted(make, distributed, [kc.CascadeCallback(end=16, frequency=1)])
        for distributed in (False, True)
    ]
    assert_alike(*runs)
    masks = [runs[1][0].masks(level) for level in runs[1][0].level_names[1:]]
    assert not all(mask.all() for level in masks for mask in level.values())
    assert runs[1][0].extract().count_params() == runs[0][0].extract().count_params()


def test_every_level_keeps_synchronised_normalisation():
    made = cascade()
    levels = [*made._members.values(), made.extract("ta1")]
    for model in levels:
        found = [v for v in model.layers if isinstance(v, keras.layers.BatchNormalization)]
        assert found and all(layer.synchronized for layer in found)


@pytest.mark.slow
def test_distiller_on_replicas():
    assert_alike(*(fitted(distiller, distributed) for distributed in (False, True)))


@pytest.mark.slow
def test_activity_regularizers():
    """Without synchronised normalisation, with which Keras itself mixes the replicas' up."""

    def make():
        model = networks.small_convnet(normalised=False, activity_regularizer="l2")
        return cascade(model=model, levels=(0.3,))

    assert_alike(*(fitted(make, distributed) for distributed in (False, True)))


@pytest.mark.slow
@pytest.mark.parametrize("ignored", [None, 3])
@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight", "sum_over_batch_size"])
def test_weighted_examples_under_every_reduction(reduction, ignored, rng):
    """Of a class that the loss ignores, the replicas have different shares."""
    weights = rng.uniform(0.0, 2.0, EXAMPLES).astype("float32")

    def make():
        return cascade({"reduction": reduction, "ignore_class": ignored})

    assert_alike(
        *(fitted(make, distributed, sample_weight=weights) for distributed in (False, True))
    )


@pytest.mark.slow
@pytest.mark.parametrize("reduction", ["mean_with_sample_weight", "sum_over_batch_size"])
@pytest.mark.parametrize("weighted", [False, True])
def test_sequences_of_different_lengths(weighted, reduction, rng):
    """Padded steps count nothing, and the replicas have different shares of them."""
    lengths = np.sort(rng.integers(1, 7, EXAMPLES))
    x = np.where(np.arange(6) < lengths[:, None], rng.integers(1, 12, (EXAMPLES, 6)), 0)
    y = rng.integers(0, 4, (EXAMPLES, 6))
    weights = rng.uniform(0.0, 2.0, y.shape).astype("float32") if weighted else None

    def make():
        inputs = keras.Input((6,), dtype="int32")
        hidden = keras.layers.Embedding(12, 6, mask_zero=True)(inputs)
        hidden = keras.layers.GRU(6, return_sequences=True)(hidden)
        model = keras.Model(inputs, keras.layers.Dense(4)(hidden))
        made = kc.CascadeDistiller(model, (0.3,), budget="params", min_channels=1, momentum=0.5)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
        made.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"])
        made.update_masks()
        return made

    assert_alike(
        *(
            fitted(make, distributed, sample_weight=weights, examples=(x, y))
            for distributed in (False, True)
        )
    )


@pytest.mark.slow
def test_a_failing_pipeline_leaves_whole_steps_on_replicas():
    with mirrored().scope():
        trainer = cascade()
    states = []

    def state():
        return [
            keras.ops.convert_to_numpy(v) for v in [*trainer.weights, *trainer.optimizer.variables]
        ]

    x, y = networks.examples_for(networks.small_convnet(), EXAMPLES)
    keep = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: states.append(state())
    )
    with pytest.raises(kc.DataError, match=r"step 2 .*: OSError: image 20 cannot be read\. Mend"):
        trainer.fit(networks.failing_batches(x, y, 20), verbose=0, callbacks=[keep])
    for before, after in zip(states[-1], state(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.slow
@pytest.mark.skipif(REPLICAS != 2, reason="this is the process of four replicas")
def test_on_four_replicas():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    result = subprocess.run(
        [*command, "-k", "test_cascade_on or test_distiller_on"],
        env={**os.environ, "REPLICAS": "4"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout  # pytest has 5 for no test selected
    assert "skipped" not in result.stdout, result.stdout
