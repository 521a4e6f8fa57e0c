"""The metrics given to `compile`: each member's own, their variables made before a step is traced.

Keras makes them when it first meets labels. On TensorFlow that is while it traces the step, which
it then traces twice: with the variables' making, and without.
"""

import textwrap
from typing import Any

import keras
from keras import tree

from keras_cascade.cascade import replicas
from keras_cascade.typing import Shape


def copies(metrics: Any) -> Any:
    """Fresh metrics of the same kinds, for a member that must not share another's state.

    Args:
        metrics: a structure of metrics, names and functions, or None.

    Raises:
        ValueError: a metric that cannot be made again from its config.
    """
    return None if metrics is None else tree.map_structure(_copy, metrics)


def _copy(metric):
    if not isinstance(metric, keras.metrics.Metric):
        return metric
    if type(metric) is keras.metrics.MeanMetricWrapper:
        # Its config names the function, and only one that is registered is found by its name.
        return keras.metrics.MeanMetricWrapper(
            metric._fn, name=metric.name, dtype=metric.dtype, **metric._fn_kwargs
        )
    try:
        return type(metric).from_config(metric.get_config())
    except Exception as error:  # it is the user's code
        kind = type(metric).__name__
        reason = textwrap.shorten(str(error) or type(error).__name__, 300).rstrip(".")
        raise ValueError(
            f"Metric '{metric.name}' ({kind}) cannot be copied: {reason}. Every model that is "
            "trained or teaches needs a copy of its own, made by "
            f"{kind}.from_config(metric.get_config()). Give {kind}.__init__ the arguments name "
            "and dtype, and write get_config(self) that returns {**super().get_config(), ...} "
            "with all the others; or pass a function (y_true, y_pred) in its place."
        ) from error


def build(model: keras.Model, labels: Shape, outputs: Shape) -> None:
    """Makes the variables of a compiled model's metrics.

    Args:
        model: compiled; nothing is done where it was given no metrics.
        labels: the labels' shape: by it "accuracy" is one or another.
        outputs: the shape of the model's outputs.
    """
    if model._compile_metrics is not None:
        with replicas.scope_of(model):
            model._compile_metrics.build(keras.KerasTensor(labels), keras.KerasTensor(outputs))
