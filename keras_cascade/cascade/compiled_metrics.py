"""The metrics given to `compile`: each member's own, their variables made before a step is traced.

Keras makes them when it first meets labels. On TensorFlow that is while it traces the step, which
it then traces twice: with the variables' making, and without.
"""

from typing import Any

import keras
from keras import tree

from keras_cascade.cascade import replicas
from keras_cascade.typing import Shape


def copies(metrics: Any) -> Any:
    """Fresh metrics of the same kinds, for a member that must not share another's state."""

    def copy(metric):
        return (
            type(metric).from_config(metric.get_config())
            if isinstance(metric, keras.metrics.Metric)
            else metric
        )

    return None if metrics is None else tree.map_structure(copy, metrics)


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
