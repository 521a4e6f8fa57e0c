"""The distillation term, and what it must know of the labels' loss.

`SoftTargetLoss` is T^2 KL(softmax(t / T) || softmax(s / T)) (Hinton et al., "Distilling the
Knowledge in a Neural Network", 2015, section 2). It is a `keras.losses.Loss`, so that sample
weights, reduction and the scaling under `tf.distribute` are Keras' own. How outputs become
logits is read off the labels' loss by `Targets`.
"""

from typing import Any

import keras
from keras import losses, ops, tree

from keras_cascade.cascade.output_kind import returns_probabilities
from keras_cascade.typing import Config, Tensor

PROBABILITY_FLOOR = 1e-7  # below which a probability is taken for it, so that its log is finite


def check_guidance(models, temperature, alpha):
    """Refuses what no model can be guided by.

    Args:
        models: `keras.Model`s, those that guide and those that are guided.
        temperature, alpha: as for `Distiller`.

    Raises:
        ValueError: a number out of range, or a model with several outputs.
    """
    if not 0.0 <= alpha < 1.0:
        raise ValueError(
            f"alpha must lie in [0, 1), got {alpha}. With alpha = 1 the labels play no part, and "
            "models that are still equal would learn nothing and show no saliency."
        )
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}.")
    for model in models:
        if len(model.outputs) != 1:
            raise ValueError(
                f"Model '{model.name}' has {len(model.outputs)} outputs; one is needed to distil. "
                "Train on keras.Model(model.inputs, the_output_that_matters)."
            )
        if isinstance(getattr(model, "output", None), dict):
            raise ValueError(
                f"Model '{model.name}' gives its output in a dict; take it out of there to distil: "
                "keras.Model(model.inputs, model.outputs[0])."
            )


def check_same_output(student, teacher):
    """Refuses a teacher whose input or output is another than the student's.

    Raises:
        TypeError: one is a subclassed model, which does not tell what it returns.
        ValueError: their input or output shapes differ, or one ends in probabilities and one in
            logits.
    """
    for model in (student, teacher):
        if not getattr(model, "outputs", None):
            raise TypeError(
                f"Model '{model.name}' ({type(model).__name__}) does not tell what it returns. "
                "Pass a built Functional or Sequential model: keras.Model(inputs, model(inputs))."
            )
    if not _take_alike(student, teacher):
        raise ValueError(
            f"Student '{student.name}' takes {student.input_shape}, teacher '{teacher.name}' "
            f"{teacher.input_shape}; both are given the same examples."
        )
    if student.output_shape[1:] != teacher.output_shape[1:]:
        raise ValueError(
            f"Student '{student.name}' returns {student.output_shape}, teacher '{teacher.name}' "
            f"{teacher.output_shape}; they must predict the same classes."
        )
    if returns_probabilities(student) != returns_probabilities(teacher):
        raise ValueError(
            f"Of student '{student.name}' and teacher '{teacher.name}', one ends in "
            "probabilities (softmax, sigmoid), the other in logits; make them end alike."
        )


def _take_alike(student, teacher):
    """Whether two models of one input each can be given the same; others Keras looks at itself."""
    if len(student.inputs) != 1 or len(teacher.inputs) != 1:
        return True
    sizes = [model.inputs[0].shape for model in (student, teacher)]
    if len(sizes[0]) != len(sizes[1]):  # Keras adds or drops a last axis of one
        return True
    return all(None in pair or pair[0] == pair[1] for pair in zip(*sizes, strict=True))


def check_distillation(distillation):
    """Refuses what cannot compare the outputs of two models, or would compare something else.

    Keras' `LogitsDistillation` (up to 3.15 at least) softens its outputs for a `KLDivergence`
    instance only; its default, the string, becomes a function and is given the raw logits.

    Args:
        distillation: a `keras.losses.Loss`, an object with
            `compute_loss(teacher_outputs, student_outputs)`, or None.

    Raises:
        TypeError: it is something else.
        ValueError: it is a `FeatureDistillation` of layers that are no outputs, or a
            `LogitsDistillation` of that function.
    """
    if distillation is None or isinstance(distillation, losses.Loss):
        return
    if not callable(getattr(distillation, "compute_loss", None)):
        raise TypeError(
            f"distillation= takes a keras.losses.Loss, or an object with compute_loss("
            f"teacher_outputs, student_outputs); got {distillation!r}."
        )
    if isinstance(distillation, keras.distillation.FeatureDistillation):
        layers = [distillation.teacher_layer_name, distillation.student_layer_name]
        if any(layers):
            raise ValueError(
                f"FeatureDistillation of the layers {layers} cannot be had: distillation compares "
                "the models' outputs. Leave the layers' names out, or train with "
                "keras.distillation.Distiller."
            )
    if isinstance(distillation, keras.distillation.LogitsDistillation) and any(
        loss is losses.kl_divergence for loss in tree.flatten(distillation.loss)
    ):
        raise ValueError(
            "keras.distillation.LogitsDistillation takes 'kl_divergence' for a function of "
            "probabilities and gives it logits. Pass loss=keras.losses.KLDivergence(), or leave "
            "distillation=None: that is T^2 KL too, and weighted by sample_weight."
        )


@keras.saving.register_keras_serializable(package="keras_cascade")
class SoftTargetLoss(losses.Loss):
    """T^2 times the KL divergence of softened outputs, from the teacher's to the student's.

    Called as `loss(teacher_outputs, student_outputs, sample_weight)`; no gradient reaches the
    teacher. Per-example values are summed over classes and averaged over the batch.

    Args:
        temperature: T, above 0.
        from_logits: whether outputs are logits (True) or probabilities.
        binary: whether each output is a yes/no of its own (KL of Bernoulli distributions).

    Raises:
        ValueError: a temperature that is not above 0.

    Example:

    ```python
    kl = SoftTargetLoss(temperature=2.0)
    kl(np.array([[2.0, 0.0]]), np.array([[1.0, 0.0]]))
    ```
    """

    def __init__(
        self,
        temperature: float = 4.0,
        from_logits: bool = True,
        binary: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str = "soft_target_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}.")
        self.temperature, self.from_logits, self.binary = temperature, from_logits, binary

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        teacher = self._softened(ops.stop_gradient(y_true))
        student = self._softened(y_pred)
        teacher_log, student_log = ops.log_softmax(teacher), ops.log_softmax(student)
        divergence = ops.sum(ops.exp(teacher_log) * (teacher_log - student_log), axis=-1)
        if self.binary:
            divergence = ops.sum(divergence, axis=-1)
        return self.temperature**2 * divergence

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "from_logits": self.from_logits,
            "binary": self.binary,
        }

    def _softened(self, outputs):
        """Logits divided by T; for yes/no outputs, each against the logit 0 of "no"."""
        if self.binary:
            if not self.from_logits:
                likely = ops.clip(outputs, PROBABILITY_FLOOR, 1.0 - PROBABILITY_FLOOR)
                outputs = ops.log(likely) - ops.log1p(-likely)
            outputs = ops.stack([outputs, ops.zeros_like(outputs)], axis=-1)
        elif not self.from_logits:
            outputs = ops.log(ops.maximum(outputs, PROBABILITY_FLOOR))
        return outputs / self.temperature
