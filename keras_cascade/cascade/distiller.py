"""Distiller: one frozen teacher, one smaller student, plain `fit`.

This is the recovery after a cascade (the extracted student learns alone from a larger level), and
distillation of any student from any teacher with the same output.
"""

from typing import Any, Self

import keras

from keras_cascade.cascade.guided import GuidedTrainer
from keras_cascade.cascade.losses import check_same_output
from keras_cascade.surgery import copy_model
from keras_cascade.typing import Config


@keras.saving.register_keras_serializable(package="keras_cascade")
class Distiller(GuidedTrainer):
    """Trains a student by the labels and by a frozen teacher.

    The loss is (1 - alpha) * labels + alpha * T^2 KL(teacher || student) plus the student's
    regularisers; `sample_weight` and `class_weight` are honoured.

    Args:
        student: a built functional or Sequential `keras.Model`; it is trained in place.
        teacher: a built functional or Sequential `keras.Model` with the same output shape; it is
            copied, and neither the copy nor the original is changed.
        temperature: T, above 0.
        alpha: weight of the teacher against the labels, in [0, 1).
        distillation: see `CascadeDistiller`.

    Raises:
        TypeError: a subclassed model, or a `distillation` that cannot compare outputs.
        ValueError: input or output shapes differ, one ends in logits and the other does not, an
            argument is out of range, or `distillation` is a `FeatureDistillation` of inner layers,
            or a `LogitsDistillation` of Keras with the string "kl_divergence" (its default), which
            compares raw logits.

    Example:

    ```python
    distiller = kc.Distiller(small, teacher=large)
    distiller.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    distiller.fit(train, epochs=5)          # `small` is now trained
    ```
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        *,
        temperature: float = 4.0,
        alpha: float = 0.5,
        distillation: Any = None,
        name: str | None = None,
    ) -> None:
        check_same_output(student, teacher)
        super().__init__(
            {"teacher": copy_model(teacher), "student": student},
            {"teacher": [], "student": ["teacher"]},
            temperature=temperature,
            alpha=alpha,
            distillation=distillation,
            frozen=("teacher",),
            name=name or f"{student.name}_distiller",
        )

    def get_config(self) -> Config:
        models = {
            name: keras.saving.serialize_keras_object(self._members[name])
            for name in ("student", "teacher")
        }
        for model in models.values():  # the teacher is compiled for its metrics alone
            model.pop("compile_config", None)
        return {
            **models,
            "temperature": self.temperature,
            "alpha": self.alpha,
            "distillation": keras.saving.serialize_keras_object(self.distillation),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Config) -> Self:
        config = dict(config)
        for key in ("student", "teacher", "distillation"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)
