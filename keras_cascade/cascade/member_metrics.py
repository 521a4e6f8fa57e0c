"""MemberMetrics: the metrics of a trainer of several models, each under a name of its own.

The main member's have plain names, the others' the member's name before theirs. Keras goes by the
metrics' own names where it makes a list of results, and those are the same for every member.
"""

from collections.abc import Mapping
from typing import Any

import keras

from keras_cascade.cascade import compiled_metrics
from keras_cascade.typing import Shape


class MemberMetrics(keras.Model):
    """A model of several, of which the last is the main one.

    Args:
        members: dict from name to `keras.Model`.
    """

    def __init__(self, members: Mapping[str, keras.Model], name: str | None = None) -> None:
        super().__init__(name=name)
        self._members = dict(members)
        self._main = list(members)[-1]
        # These are compiled for their metrics only.
        self._others = {key: model for key, model in members.items() if key != self._main}

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> list[float] | dict[str, float]:
        """As `keras.Model.train_on_batch`; a list of results is in the order of `metrics_names`."""
        results = super().train_on_batch(x, y, sample_weight, class_weight, return_dict=True)
        return results if return_dict else self._in_order(results)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> list[float] | dict[str, float]:
        """As `keras.Model.test_on_batch`; a list of results is in the order of `metrics_names`."""
        results = super().test_on_batch(x, y, sample_weight, return_dict=True)
        return results if return_dict else self._in_order(results)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Updates every member's metrics; the main member's have plain names."""
        for name, member in self._others.items():
            member.compute_metrics(x, y, y_pred[name], sample_weight)
        return super().compute_metrics(x, y, y_pred[self._main], sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        """Dict from metric name to value, members' names before theirs."""
        results = {}
        for metric in super().metrics:
            result = metric.result()
            results.update(result if isinstance(result, dict) else {metric.name: result})
        for name, member in self._others.items():
            for key, value in member.get_metrics_result().items():
                if key != "loss":
                    results[f"{name}_{key}"] = value
        return results

    @property
    def metrics(self) -> list[keras.Metric]:
        """All members' metrics, so that each is reset and carried along."""
        members = getattr(self, "_others", {}).values()
        # A member's own loss tracker is never updated: this trainer tracks the members' losses.
        return super().metrics + [
            metric for member in members for metric in member.metrics if metric.name != "loss"
        ]

    @property
    def metrics_names(self) -> list[str]:
        """Names of the results, as in the logs."""
        return list(self.get_metrics_result())

    # Pieces

    def _in_order(self, results):
        return [results[name] for name in self.metrics_names]

    def _compile_others(self, metrics, weighted_metrics):
        for member in self._others.values():
            member.compile(
                optimizer=None,
                metrics=compiled_metrics.copies(metrics),
                weighted_metrics=compiled_metrics.copies(weighted_metrics),
            )

    def _build_metrics(self, labels: Shape, outputs: Shape) -> None:
        for compiled in (self, *self._others.values()):
            compiled_metrics.build(compiled, labels, outputs)
