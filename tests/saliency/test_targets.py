"""What is read off the labels' loss."""

import functools

import keras
import numpy as np
import pytest

from keras_cascade.saliency.targets import Targets


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
        ({"logits": "sparse_categorical_crossentropy"}, Targets(False, True, False)),
        (["sparse_categorical_crossentropy"], Targets(False, True, False)),
        (["sparse_categorical_crossentropy"] * 2, None),
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


@pytest.mark.parametrize(
    ("kind", "labels", "outputs", "wrong"),
    [
        ("Sparse", (8, 4), (None, 4), "are one-hot.*Use categorical_crossentropy"),
        ("Sparse", (8, 5, 5, 4), (None, None, None, 4), "are one-hot"),
        ("", (8,), (None, 4), "are class numbers.*Use sparse.*to_categorical.labels, 4"),
        ("", (8, 1), (None, 4), "are class numbers"),
        ("", (8, 5, 5), (None, 5, 5, 4), "are class numbers"),
        ("Sparse", (8,), (None, 4), None),
        ("Sparse", (8, 1), (None, 4), None),
        ("Sparse", (8, 4), (None, 4, 4), None),
        ("Sparse", (8,), (None, 1), None),
        ("Sparse", (8, 4), (None, None), None),
        ("", (8, 4), (None, 4), None),
        ("", (8,), (None, 1), None),
    ],
)
def test_labels_of_the_other_kind_are_refused(kind, labels, outputs, wrong):
    loss = getattr(keras.losses, f"{kind}CategoricalCrossentropy")()
    check = functools.partial(Targets.of(loss, outputs).check_labels, labels, outputs)
    if wrong is None:
        check()
        return
    with pytest.raises(ValueError, match=wrong):
        check()


def test_labels_of_the_other_kind_along_another_axis():
    loss = keras.losses.SparseCategoricalCrossentropy(axis=1)
    targets = Targets.of(loss, (None, 3, 8))
    targets.check_labels((5, 8), (None, 3, 8))
    with pytest.raises(ValueError, match=r"numpy.argmax\(labels, axis=-2\)"):
        targets.check_labels((5, 3, 8), (None, 3, 8))


@pytest.mark.parametrize(("ignored", "count"), [(None, 3), (-1, 2)])
def test_labels_that_name_no_class_are_counted_and_made_the_first(ignored, count):
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=ignored)
    labels = np.array([0, -1, 4, 3, 9])
    safe, found = Targets.of(loss, (None, 4)).checked(labels, np.zeros((5, 4)))
    expected = [0, 0 if ignored is None else -1, 0, 3, 0]
    assert keras.ops.convert_to_numpy(safe).tolist() == expected
    assert int(found) == count
