"""What `prune_weights` trains with, in tf_keras: schedule, teacher, optimizer, loss.

Imported only where tf_keras and TF-MOT are.
"""

from collections.abc import Iterable, Mapping

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from keras import tree

from keras_cascade.cascade import NonFiniteLossError, returns_probabilities
from keras_cascade.cascade.losses import PROBABILITY_FLOOR, check_guidance, check_same_output
from keras_cascade.cascade.teacher_annealing import teacher_share
from keras_cascade.saliency.targets import Targets, describe_outside
from keras_cascade.sparsity import twins
from keras_cascade.sparsity.bridge import Bridge
from keras_cascade.sparsity.toolkit import import_tfmot

UNCHANGED = "the model given to prune_weights is unchanged"
_TRANSLATED = (keras.optimizers.Optimizer, keras.losses.Loss, keras.metrics.Metric)


class StepSchedule(import_tfmot().PruningSchedule):  # type: ignore[misc]
    """The sparsity at each of the steps at which masks are updated.

    TF-MOT's own schedules update every `frequency` steps only, so a short run, or one whose length
    is no multiple, ends before its last update.

    Args:
        steps: the steps, counted from 1, in ascending order.
        sparsities: the sparsity from each of them on.
    """

    def __init__(self, steps, sparsities):
        self.steps, self.sparsities = list(steps), list(sparsities)

    def __call__(self, step):
        step, steps = tf.cast(step, "int64"), tf.constant(self.steps, "int64")
        index = tf.minimum(tf.searchsorted(steps, [step])[0], len(self.steps) - 1)
        is_update = tf.equal(tf.gather(steps, index), step)
        return is_update, tf.gather(tf.constant(self.sparsities, "float32"), index)

    def get_config(self):
        config = {"steps": self.steps, "sparsities": self.sparsities}
        return {"class_name": type(self).__name__, "config": config}


class PruningSteps(import_tfmot().UpdatePruningStep):  # type: ignore[misc]
    """TF-MOT's counting of steps and masking at the end of epochs; masks at the end of `fit` too.

    An optimizer with `use_ema` writes its averages over the masked weights after the last epoch.
    """

    def on_train_end(self, logs=None):
        for wrapper in self.prunable_layers:
            wrapper.pruning_obj.weight_mask_op()


class SoftTargets(tf_keras.losses.Loss):
    """`keras_cascade.SoftTargetLoss` for tf_keras: T^2 KL(teacher || student).

    Args:
        temperature: T, above 0.
        from_logits: whether outputs are logits (True) or probabilities.
        binary: whether each output is a yes/no of its own.
    """

    def __init__(self, temperature, from_logits, binary):
        super().__init__()
        self.temperature, self.from_logits, self.binary = temperature, from_logits, binary

    def call(self, y_true, y_pred):
        teacher = tf.nn.log_softmax(self._softened(tf.stop_gradient(y_true)))
        student = tf.nn.log_softmax(self._softened(y_pred))
        divergence = tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=-1)
        if self.binary:
            divergence = tf.reduce_sum(divergence, axis=-1)
        return self.temperature**2 * divergence

    def _softened(self, outputs):
        if self.binary:
            if not self.from_logits:
                likely = tf.clip_by_value(outputs, PROBABILITY_FLOOR, 1.0 - PROBABILITY_FLOOR)
                outputs = tf.math.log(likely) - tf.math.log1p(-likely)
            outputs = tf.stack([outputs, tf.zeros_like(outputs)], axis=-1)
        elif not self.from_logits:
            outputs = tf.math.log(tf.maximum(outputs, PROBABILITY_FLOOR))
        return outputs / self.temperature


class CheckedLabels(tf_keras.losses.Loss):
    """A loss of class numbers; NaN for a batch with labels that name no class, which it counts.

    TensorFlow ends on such labels on a CPU, with many lines, and goes on without a word on a GPU.

    Args:
        loss: `tf_keras.losses.Loss`.
        classes: that there are.
        ignored: the label that the loss leaves out, or None.
    """

    def __init__(self, loss, classes, ignored):
        super().__init__(reduction=loss.reduction, name=loss.name)
        self._loss, self.classes, self._ignored = loss, classes, ignored
        self.outside = tf.Variable(0, trainable=False)

    def __call__(self, y_true, y_pred, sample_weight=None):
        labels = tf.cast(y_true, "int64")
        outside = (labels < 0) | (labels >= self.classes)
        if self._ignored is not None:
            outside &= labels != self._ignored
        self.outside.assign_add(tf.math.count_nonzero(outside, dtype="int32"))
        safe = tf.where(outside, tf.zeros_like(labels), labels)
        value = self._loss(safe, y_pred, sample_weight)
        return tf.where(tf.reduce_any(outside), tf.constant(np.nan, value.dtype), value)


def checked_loss(loss, shape):
    """What tf_keras trains with for a loss as `prune_weights` takes it.

    Args:
        loss: a name, or an object of Keras 3 or of tf_keras.
        shape: of the output.

    Returns:
        `CheckedLabels` for class numbers, the loss in tf_keras for all else.
    """
    translated, targets = in_tf_keras(loss), Targets.of(loss, shape)
    if not (targets and targets.sparse):
        return translated
    if not isinstance(translated, tf_keras.losses.Loss):  # its function or name
        translated = tf_keras.losses.SparseCategoricalCrossentropy()
    return CheckedLabels(translated, shape[targets.axis], targets.ignored)


def check_labels(data, loss, shape):
    """Raises ValueError where data shows one-hot labels for a loss of class numbers, or these.

    Args:
        data: as for `prune_weights`; what a generator gives shows in training only.
        loss: likewise.
        shape: of the output.
    """
    batch = data.element_spec if isinstance(data, tf.data.Dataset) else data
    labels = batch[1] if isinstance(batch, tuple) and len(batch) > 1 else None
    targets = Targets.of(loss, shape)
    if targets and hasattr(labels, "shape"):
        targets.check_labels(labels.shape, shape)


class TaughtModel(tf_keras.Model):
    """A functional model that learns from the labels and from a frozen teacher.

    Its loss is (1 - alpha) * labels + alpha * soft targets + regularisers.
    """

    def taught_by(self, teacher, soft_targets, alpha):
        """Sets the teacher, a function of the inputs that is no layer of this model."""
        self._teacher, self._soft_targets, self._alpha = teacher, soft_targets, alpha
        # A variable, so that a traced step sees what a callback makes of it.
        self._labels_weight = tf.Variable(1.0 - alpha, trainable=False)
        return self

    def anneal_teacher(self, share):
        """Lets the teacher weigh `share * alpha` against the labels."""
        self._labels_weight.assign(1.0 - share * self._alpha)

    def compile(self, **kwargs):
        super().compile(loss_weights=self._labels_weight, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        guidance = self._soft_targets(self._teacher(x), y_pred, sample_weight)
        # Given as one of the regularisers, so that the logged loss is the whole one.
        others = [*self.losses, (1.0 - self._labels_weight) * guidance]
        return self.compiled_loss(y, y_pred, sample_weight, regularization_losses=others)


def check_teacher(teacher, student, loss, temperature, alpha):
    """Raises ValueError where `taught` would make no sense.

    Args:
        teacher, student: `keras.Model`s.
        loss, temperature, alpha: as for `taught`.
    """
    check_guidance((student, teacher), temperature, alpha)
    check_same_output(student, teacher)
    targets = Targets.of(loss, teacher.output_shape)
    if targets is None:
        raise ValueError(
            f"No KL divergence is defined for loss={loss!r}; with a teacher, use one of Keras 3's "
            "cross-entropies."
        )
    targets.check_axis(teacher.output_shape)


def taught(pruned, teacher, loss, temperature, alpha):
    """A model that trains the layers of `pruned` under a teacher.

    Args:
        pruned: functional `tf_keras.Model`.
        teacher: `keras.Model` with the same output.
        loss: the labels' loss, a cross-entropy of Keras 3.
        temperature, alpha: as for `keras_cascade.Distiller`.
    """
    frozen = Bridge(teacher).model
    frozen.trainable = False
    targets = Targets.of(loss, teacher.output_shape)
    soft_targets = SoftTargets(temperature, targets.from_logits, targets.binary)
    trainer = TaughtModel(pruned.input, pruned.output, name=pruned.name)
    return trainer.taught_by(lambda x: frozen(x, training=False), soft_targets, alpha)


def make_variables(trainer, loss):
    """Makes what the optimizer and the metrics keep; made within a step, they have it traced twice.

    Args:
        trainer: compiled functional `tf_keras.Model`.
        loss: the labels' loss, as for `prune_weights`.
    """
    if isinstance(trainer.optimizer, tf_keras.optimizers.Optimizer):  # not a legacy one
        trainer.optimizer.build(trainer.trainable_variables)
    shape = trainer.output_shape
    targets = Targets.of(loss, shape)
    labels = targets and targets.shape_of_labels(shape)
    if labels:
        trainer.compiled_metrics.build(tf.TensorSpec(shape), tf.TensorSpec(labels))


def default_loss(model):
    """Sparse categorical cross-entropy for a `keras.Model`, as its end shows from logits or not."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=not returns_probabilities(model))


class Annealing(tf_keras.callbacks.Callback):
    """`keras_cascade.TeacherAnnealing` for a `TaughtModel`."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.anneal_teacher(teacher_share(epoch, self.params["epochs"]))


class StopAtBadLoss(tf_keras.callbacks.Callback):
    """Ends a run whose loss is NaN or infinite: its weights are of no use.

    Args:
        loss: what `checked_loss` gave.
    """

    def __init__(self, loss):
        super().__init__()
        self._loss, self._steps = loss, 0

    def where(self):
        """How far pruning has come, in words."""
        return f"while weights were pruned, after step {self._steps}"

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1
        loss = float((logs or {}).get("loss", 0.0))
        outside = int(self._loss.outside) if isinstance(self._loss, CheckedLabels) else 0
        if outside:
            wrong = describe_outside(outside, self._loss.classes)
            raise ValueError(f"At batch {batch + 1} of an epoch, {wrong} {UNCHANGED.capitalize()}.")
        if not np.isfinite(loss):
            raise _not_finite(f"The loss became {loss} at batch {batch + 1} of an epoch")


def check_finite(layers):
    """Raises NonFiniteLossError where a weight is NaN or infinite: the loss need not show it.

    Args:
        layers: dict from name to layer.
    """
    for name, layer in layers.items():
        if not all(np.isfinite(value).all() for value in layer.get_weights()):
            raise _not_finite(f"Weights of layer '{name}' became NaN or infinite")


def _not_finite(what):
    return NonFiniteLossError(
        f"{what}; {UNCHANGED}. Lower the learning rate, clip "
        "gradients (clipnorm), or look for bad values in the data."
    )


def checked_callbacks(callbacks):
    """The callbacks as a list.

    Raises:
        TypeError: one of Keras 3, which the `fit` of tf_keras cannot run.
    """
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.Callback):
            raise TypeError(
                f"Pruning runs in tf_keras; {type(callback).__name__} is a callback of Keras 3. "
                "Pass callbacks of tf_keras.callbacks."
            )
    return list(callbacks)


def checked_metrics(metrics):
    """The metrics as a list, empty for None.

    Raises:
        TypeError: a name or a metric by itself, or a dict of them.
    """
    if metrics is None:
        return []
    if isinstance(metrics, str | Mapping) or not isinstance(metrics, Iterable):
        raise TypeError(
            f"metrics must be a list of names or metrics, got {metrics!r}. Write "
            'metrics=["accuracy"], with what you want in place of "accuracy".'
        )
    return list(metrics)


def in_tf_keras(structure):
    """Optimizers, losses and metrics for tf_keras.

    Args:
        structure: a name, an object of Keras 3 (translated by its config), of tf_keras or of the
            user, or lists and dicts of these.

    Raises:
        ValueError: an option that tf_keras does not have.
    """
    return tree.map_structure(_in_tf_keras, structure)


def _in_tf_keras(item):
    if isinstance(item, _TRANSLATED):
        try:
            return twins.to_tf_keras().twin(item)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{type(item).__name__} cannot be had in tf_keras: {error}. Pass one of tf_keras."
            ) from error
    if getattr(item, "__module__", "").startswith(("keras.src.losses", "keras.src.metrics")):
        return item.__name__
    return item
