"""The distillation loss against NumPy (invariant 7)."""

import keras
import numpy as np
import pytest

from keras_cascade import SoftTargetLoss


def _log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def _kl(teacher, student, temperature):
    p, q = _log_softmax(teacher / temperature), _log_softmax(student / temperature)
    return temperature**2 * (np.exp(p) * (p - q)).sum(-1)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_logits(rng, temperature):
    teacher, student = rng.normal(0, 3, (2, 6, 5)).astype("float32")
    loss = SoftTargetLoss(temperature)(teacher, student)
    assert float(loss) == pytest.approx(_kl(teacher, student, temperature).mean(), rel=1e-5)


def test_probabilities_are_the_same_as_their_logits(rng):
    teacher, student = rng.normal(0, 2, (2, 6, 5)).astype("float32")
    by_logits = SoftTargetLoss(2.0)(teacher, student)
    softmax = keras.ops.softmax
    by_probability = SoftTargetLoss(2.0, from_logits=False)(softmax(teacher), softmax(student))
    assert float(by_probability) == pytest.approx(float(by_logits), rel=1e-4)


def test_binary_outputs(rng):
    teacher, student = rng.normal(0, 2, (2, 6, 3)).astype("float32")

    def two(z):
        return np.stack([z, np.zeros_like(z)], -1)

    expected = _kl(two(teacher), two(student), 2.0).sum(-1).mean()
    assert float(SoftTargetLoss(2.0, binary=True)(teacher, student)) == pytest.approx(
        expected, rel=1e-5
    )
    sigmoid = keras.ops.sigmoid
    by_probability = SoftTargetLoss(2.0, from_logits=False, binary=True)
    assert float(by_probability(sigmoid(teacher), sigmoid(student))) == pytest.approx(
        expected, rel=1e-3
    )


def test_equal_outputs_cost_nothing_and_extremes_stay_finite():
    same = np.array([[3.0, -2.0, 0.5]], "float32")
    assert float(SoftTargetLoss(4.0)(same, same)) == 0.0
    certain = np.array([[1.0, 0.0, 0.0]], "float32")
    assert np.isfinite(float(SoftTargetLoss(1.0, from_logits=False)(certain, certain[:, ::-1])))


def test_sample_weight_and_config(rng):
    teacher, student = rng.normal(0, 2, (2, 4, 3)).astype("float32")
    weight = np.array([1.0, 0.0, 2.0, 0.5], "float32")
    loss = SoftTargetLoss(2.0)
    expected = (weight * _kl(teacher, student, 2.0)).sum() / 4
    assert float(loss(teacher, student, weight)) == pytest.approx(expected, rel=1e-5)
    copy = SoftTargetLoss.from_config(loss.get_config())
    assert float(copy(teacher, student)) == float(loss(teacher, student))
    with pytest.raises(ValueError, match="temperature must be above 0"):
        SoftTargetLoss(0.0)
