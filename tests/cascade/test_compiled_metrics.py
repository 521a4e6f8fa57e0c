"""Compiled metrics: the accuracy that fits the labels, made before a step is traced."""

import keras
import networks
import numpy as np
import pytest

import keras_cascade as kc
from keras_cascade.cascade import compiled_metrics


def _distiller(loss, activation, classes):
    """A distiller that learns nothing, its teacher and its student."""
    teacher, student = (
        networks.small_convnet(classes=classes, activation=activation) for _ in range(2)
    )
    distiller = kc.Distiller(student, teacher)
    distiller.compile(keras.optimizers.SGD(0.0), loss, metrics=["accuracy"], jit_compile=False)
    return distiller, teacher, student


def _examples(model, labels):
    x, y = networks.examples_for(model, 16, max(model.output_shape[-1], 2))
    return x, labels(y)


def _one_hot(y):
    return np.eye(4, dtype="float32")[y]


def _column(y):
    return y[:, None]


def _as_they_are(y):
    return y


SPARSE, ONE_HOT = "sparse_categorical_crossentropy", "categorical_crossentropy"
LABELS = {
    "sparse": (_as_they_are, SPARSE, "softmax", 4),
    "sparse_columns": (_column, SPARSE, "softmax", 4),
    "one_hot": (_one_hot, ONE_HOT, "softmax", 4),
    "yes_or_no": (_column, "binary_crossentropy", "sigmoid", 1),
}
# Here Keras picks the loss by the labels, and the metric with it.
BY_THEMSELVES = {
    "sparse_by_themselves": (_as_they_are, "crossentropy", "softmax", 4),
    "one_hot_by_themselves": (_one_hot, "crossentropy", "softmax", 4),
}


@pytest.mark.parametrize("case", [*LABELS, *BY_THEMSELVES])
def test_accuracy_is_that_of_such_labels(case):
    labels, loss, *end = (LABELS | BY_THEMSELVES)[case]
    distiller, teacher, student = _distiller(loss, *end)
    x, y = _examples(teacher, labels)
    logs = distiller.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
    for name, model in (("teacher_accuracy", teacher), ("accuracy", student)):
        outputs = keras.ops.convert_to_numpy(model(x))
        right = _classes(outputs) == (_classes(y) if y.shape == outputs.shape else np.ravel(y))
        assert float(logs[name]) == pytest.approx(right.mean(), abs=1e-6)


def _classes(values):
    """The class that each row is for."""
    return values[:, 0] > 0.5 if values.shape[1] == 1 else values.argmax(-1)


def _surety(y_true, y_pred, power=1):
    return keras.ops.max(y_pred, axis=-1) ** power


class _Counter(keras.metrics.Metric):
    """Has no dtype among its arguments, which Keras' own config names."""

    def __init__(self, name="counter"):
        super().__init__(name=name)

    def update_state(self, y_true, y_pred, sample_weight=None):
        pass

    def result(self):
        return 0.0


class _Above(_Counter):
    """Has an argument that its config does not name."""

    def __init__(self, limit, name="above", dtype=None):
        super().__init__(name=name)


class _AboveWithConfig(_Above):
    def __init__(self, limit, name="above", dtype=None):
        super().__init__(limit, name=name, dtype=dtype)
        self.limit = limit

    def get_config(self):
        return {**super().get_config(), "limit": self.limit}


@pytest.mark.parametrize("make", [_Counter, lambda: _Above(0.5)])
def test_a_metric_that_cannot_be_copied_is_named(make):
    metric = make()
    models = networks.small_convnet(), networks.small_convnet()
    message = rf"Metric '{metric.name}' \({type(metric).__name__}\) cannot be copied.*get_config"
    with pytest.raises(ValueError, match=message):
        kc.Distiller(*models).compile("sgd", SPARSE, metrics=["accuracy", metric])


def test_metrics_of_an_own_kind_are_each_members_own():
    metrics = [
        keras.metrics.MeanMetricWrapper(_surety, name="surety", power=2),
        _AboveWithConfig(0.5),
        _surety,
    ]
    wrapped, above, function = compiled_metrics.copies(metrics)
    assert (wrapped.name, wrapped.dtype) == ("surety", metrics[0].dtype)
    assert wrapped is not metrics[0] and above is not metrics[1]
    assert above.limit == 0.5 and function is _surety
    outputs = np.array([[0.5, 0.1], [0.25, 0.1]], "float32")
    wrapped.update_state(outputs, outputs)
    assert float(wrapped.result()) == pytest.approx((0.5**2 + 0.25**2) / 2)
    assert float(metrics[0].result()) == 0.0
    student, teacher = (networks.small_convnet(activation="softmax") for _ in range(2))
    distiller = kc.Distiller(student, teacher)
    distiller.compile("sgd", SPARSE, metrics=metrics, run_eagerly=True)
    x, y = networks.examples_for(student, 8)
    logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
    for name, model in (("teacher_surety", teacher), ("surety", student)):
        largest = keras.ops.convert_to_numpy(model(x)).max(-1)
        assert logs[name] == pytest.approx((largest**2).mean(), rel=1e-5)


@pytest.mark.only_on("tensorflow", reason="JAX traces otherwise, torch not at all")
@pytest.mark.parametrize("case", ["sparse", "one_hot"])
def test_a_step_is_traced_once(case, monkeypatch):
    labels, loss, *end = LABELS[case]
    distiller, teacher, _ = _distiller(loss, *end)
    x, y = _examples(teacher, labels)
    runs = []
    compute_loss = distiller.compute_loss
    monkeypatch.setattr(
        distiller,
        "compute_loss",
        lambda *given, **named: runs.append(1) or compute_loss(*given, **named),
    )
    distiller.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    assert len(runs) == 1
