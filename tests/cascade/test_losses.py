"""The distillation loss against NumPy, and what is read off the labels' loss (invariant 7)."""

import keras
import numpy as np
import pytest

from keras_cascade import SoftTargetLoss
from keras_cascade.cascade.losses import Targets


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


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("sparse_categorical_crossentropy", Targets(False, True, False)),
        ("crossentropy", Targets(False, None, False)),
        (keras.losses.binary_crossentropy, Targets(True, False, False)),
        (keras.losses.CategoricalCrossentropy(from_logits=True), Targets(False, False, True)),
        (
            keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1),
            Targets(False, True, True, -1),
        ),
        (keras.losses.BinaryFocalCrossentropy(from_logits=True), Targets(True, False, True)),
        ("mse", None),
        (keras.losses.Huber(), None),
        (None, None),
    ],
)
def test_targets(loss, expected):
    assert Targets.of(loss, (None, 5)) == expected


def test_crossentropy_of_one_unit_is_binary():
    assert Targets.of("crossentropy", (None, 1)) == Targets(True, None, False)


@pytest.mark.parametrize(
    "kind",
    [
        keras.losses.CategoricalCrossentropy,
        keras.losses.CategoricalFocalCrossentropy,
        keras.losses.SparseCategoricalCrossentropy,
        keras.losses.BinaryCrossentropy,
    ],
)
def test_classes_along_another_axis_than_the_last_are_refused(kind):
    shape = (None, 3, 8)
    for axis in (2, -1):
        Targets.of(kind(axis=axis), shape).check_axis(shape)
    for axis in (1, -2):
        targets = Targets.of(kind(axis=axis), shape)
        with pytest.raises(ValueError, match=r"along axis -2 of outputs of shape.*Put the classes"):
            targets.check_axis(shape)


def test_labels_along_another_axis():
    """With an own `distillation` there is no KL, and sparse labels are checked all the same."""
    targets = Targets.of(keras.losses.SparseCategoricalCrossentropy(axis=1), (None, 3, 8))
    assert targets.shape_of_labels((None, 3, 8)) == (None, 8)
    labels, outputs = np.array([[2, 3, -1, 0]]), np.zeros((1, 3, 4))
    outside = keras.ops.convert_to_numpy(targets.outside(labels, outputs))
    assert outside.tolist() == [[False, True, True, False]]
