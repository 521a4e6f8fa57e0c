"""What `prune_weights` trains with: objects of tf_keras made from those of Keras 3.

Imported only where tf_keras and TF-MOT are.
"""

import keras
import numpy as np
import tensorflow as tf
import tf_keras

from keras_cascade.cascade import NonFiniteLossError
from keras_cascade.sparsity import twins
from keras_cascade.sparsity.toolkit import import_tfmot

_PROBABILITY_FLOOR = 1e-7  # as in SoftTargetLoss


class StepSchedule(import_tfmot().PruningSchedule):
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
        steps = tf.constant(self.steps, "int64")
        index = tf.minimum(tf.searchsorted(steps, [tf.cast(step, "int64")])[0], len(self.steps) - 1)
        is_update = tf.equal(tf.gather(steps, index), tf.cast(step, "int64"))
        return is_update, tf.gather(tf.constant(self.sparsities, "float32"), index)

    def get_config(self):
        config = {"steps": self.steps, "sparsities": self.sparsities}
        return {"class_name": type(self).__name__, "config": config}


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
                likely = tf.clip_by_value(outputs, _PROBABILITY_FLOOR, 1.0 - _PROBABILITY_FLOOR)
                outputs = tf.math.log(likely) - tf.math.log1p(-likely)
            outputs = tf.stack([outputs, tf.zeros_like(outputs)], axis=-1)
        elif not self.from_logits:
            outputs = tf.math.log(tf.maximum(outputs, _PROBABILITY_FLOOR))
        return outputs / self.temperature


class TaughtModel(tf_keras.Model):
    """A functional model that learns from the labels and from a frozen teacher.

    Compiled with `loss_weights=1 - alpha`, its loss is (1 - alpha) * labels + alpha * soft targets +
    regularisers.
    """

    def taught_by(self, teacher, soft_targets, alpha):
        """Sets the teacher, a function of the inputs; returns the model."""
        self._guidance = lambda x, outputs, weights: (
            alpha * soft_targets(teacher(x), outputs, weights)
        )
        return self

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        guidance = self._guidance(x, y_pred, sample_weight)
        # With the regularisers, so that the logged loss is the whole one.
        return self.compiled_loss(
            y, y_pred, sample_weight, regularization_losses=[*self.losses, guidance]
        )


class StopAtBadLoss(tf_keras.callbacks.Callback):
    """Ends a run whose loss is NaN or infinite: its weights are of no use."""

    def on_train_batch_end(self, batch, logs=None):
        loss = float((logs or {}).get("loss", 0.0))
        if not np.isfinite(loss):
            raise NonFiniteLossError(
                f"The loss became {loss} at batch {batch + 1} of an epoch; the model given to "
                "prune_weights is unchanged. Lower the learning rate, clip gradients (clipnorm), "
                "or look for bad values in the data."
            )


def as_tf_keras(item, what):
    """An optimizer or a loss for tf_keras.

    Args:
        item: a name, a Keras 3 object (translated by its config) or one of tf_keras or the user.
        what: "optimizer" or "loss", for the error.

    Raises:
        ValueError: an option that tf_keras does not have.
    """
    if isinstance(item, (keras.optimizers.Optimizer, keras.losses.Loss)):
        try:
            return twins.to_tf_keras().twin(item)
        except ValueError as error:
            raise ValueError(
                f"{what} {type(item).__name__} cannot be had in tf_keras: {error}. Pass one of "
                f"tf_keras.{'optimizers' if what == 'optimizer' else 'losses'}."
            ) from error
    if getattr(item, "__module__", "").startswith("keras.src.losses"):
        return item.__name__
    return item
