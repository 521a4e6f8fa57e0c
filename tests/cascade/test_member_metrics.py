"""Results of several models: one name and one value each, in the order of `metrics_names`."""

import keras
import networks
import numpy as np
import pytest

import keras_cascade as kc

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _cascade():
    return kc.CascadeDistiller(networks.small_convnet(), (0.3, 0.6), min_channels=1)


def _distiller():
    return kc.Distiller(networks.small_convnet(), networks.unsettled(networks.small_convnet(), 9))


@pytest.mark.parametrize("make", [_cascade, _distiller])
def test_lists_of_results_are_in_the_order_of_their_names(make):
    trainer = make()
    trainer.compile(
        keras.optimizers.SGD(0.0),
        LOSS,
        metrics=["accuracy"],
        weighted_metrics=[keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="ce")],
        run_eagerly=True,
    )
    x, y = networks.examples_for(networks.small_convnet(), 8)
    named = trainer.test_on_batch(x, y, return_dict=True)
    names = trainer.metrics_names
    assert set(names) == set(named)
    assert {"loss", "accuracy", "teacher_accuracy", "ce", "teacher_ce"} <= set(names)
    expected = [float(named[name]) for name in names]
    for results in (trainer.test_on_batch(x, y), trainer.evaluate(x, y, batch_size=8, verbose=0)):
        np.testing.assert_allclose(results, expected, rtol=1e-6)
    as_list, as_dict = trainer.train_on_batch(x, y), trainer.train_on_batch(x, y, return_dict=True)
    assert len(as_list) == len(trainer.metrics_names) == len(as_dict)
    assert trainer.train_on_batch(x, y, None, None, True).keys() == as_dict.keys()
    for name, value in zip(trainer.metrics_names, as_list, strict=True):
        # BatchNormalization's moments moved between the two steps, what was trained did not.
        assert float(value) == pytest.approx(float(as_dict[name]), rel=1e-5), name
