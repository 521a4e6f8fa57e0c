"""Distiller: a frozen teacher, a student of any shape."""

import keras
import networks
import numpy as np
import pytest

import keras_cascade as kc

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_teacher_is_frozen_and_student_learns():
    teacher, student = networks.small_convnet(), networks.build("resnet20", classes=4)
    student = kc.prune(networks.small_convnet(regularizer="l2"), 0.5, min_channels=2)
    before = [array.copy() for array in teacher.get_weights()]
    start = [array.copy() for array in student.get_weights()]
    distiller = kc.Distiller(student, teacher, temperature=2.0, alpha=0.7)
    distiller.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"], jit_compile=False)
    x, y = networks.examples_for(teacher, 32)
    logs = distiller.fit(x, y, batch_size=8, epochs=10, validation_data=(x, y), verbose=0).history
    assert logs["student_kl"][-1] < 0.5 * logs["student_kl"][0]
    assert teacher.trainable and len(teacher.trainable_weights) > 0
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert any((a != b).any() for a, b in zip(start, student.get_weights(), strict=True))
    np.testing.assert_array_equal(distiller.predict(x, verbose=0), student.predict(x, verbose=0))
    teacher.compile(loss=LOSS, metrics=["accuracy"])
    alone = teacher.evaluate(x, y, verbose=0, return_dict=True)["accuracy"]
    assert logs["val_teacher_accuracy"][-1] == pytest.approx(alone, abs=1e-6)


def test_loss_equals_numpy():
    teacher, student = networks.small_convnet(), networks.small_convnet(normalised=False)
    distiller = kc.Distiller(student, teacher, temperature=3.0, alpha=0.25)
    distiller.compile(keras.optimizers.SGD(0.0), LOSS, jit_compile=False)
    x, y = networks.examples_for(teacher, 8)

    def log_softmax(z):
        return z - np.log(np.exp(z).sum(-1, keepdims=True))

    outputs = [model.predict(x, verbose=0).astype("float64") for model in (teacher, student)]
    labels = -log_softmax(outputs[1])[np.arange(8), y].mean()
    p, q = (log_softmax(z / 3.0) for z in outputs)
    expected = 0.75 * labels + 0.25 * 9.0 * (np.exp(p) * (p - q)).sum(-1).mean()
    logs = distiller.fit(x, y, batch_size=8, verbose=0).history
    assert logs["loss"][0] == pytest.approx(expected, rel=1e-4)


def test_outputs_must_agree():
    with pytest.raises(ValueError, match="must predict the same classes"):
        kc.Distiller(networks.small_convnet(classes=3), networks.small_convnet(classes=4))
