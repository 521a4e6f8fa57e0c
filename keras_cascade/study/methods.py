"""The methods that a study compares: each trains one smaller model for the same number of steps.

A method is a function from a `Task` to the trained `keras.Model`. The teacher it is given is never
changed: what starts from the teacher's weights starts from a copy. `METHODS` holds them by name, in
the order in which reports show them.
"""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_cascade import recipe
from keras_cascade.graph import ChannelGraph
from keras_cascade.models import widest_model
from keras_cascade.saliency import Ranking, prune
from keras_cascade.sparsity import prunable_weights, prune_weights
from keras_cascade.study.protocol import Protocol
from keras_cascade.surgery import copy_model


@dataclasses.dataclass(frozen=True)
class Task:
    """What a method is given.

    Attributes:
        teacher: the trained dense model.
        network: name of its architecture, as `models.build_model` takes it.
        amount: fraction of the teacher's params to remove or to set to zero.
        images: `data.ImageData` to train on; `test` is None.
        protocol: the study's `Protocol`.
        seed: of new weights.
        count_step: called after every training step.
    """

    teacher: keras.Model
    network: str
    amount: float
    images: Any
    protocol: Protocol
    seed: int
    count_step: Any = lambda: None

    @property
    def settings(self):
        """The recipe's settings for this task."""
        return dataclasses.replace(
            self.protocol.settings, levels=(self.amount or 0.5,), seed=self.seed
        )

    @property
    def steps(self):
        """Training steps that every method takes."""
        return self.protocol.epochs * self.images.steps_per_epoch

    def counting(self, callbacks=keras.callbacks):
        """Callbacks for `fit`, of Keras 3 or of another library's `callbacks` module."""
        return [callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: self.count_step())]


def teacher(task):
    """The dense teacher as every method finds it: no further step."""
    return task.teacher


def dense(task):
    """The teacher, trained on by the labels: what more steps alone are worth."""
    model = copy_model(task.teacher)
    recipe.fine_tune(model, task.images, task.settings, task.protocol.epochs, task.counting())
    return model


def distillation(task):
    """A narrower network of the same family, from random weights, distilled from the teacher."""
    return _distilled(task, _student(task), task.settings.learning_rate)


def weight_pruning(task):
    """TF-MOT's magnitude pruning while training by the labels."""
    return _weight_pruning(task, teacher=None)


def weight_pruning_distilled(task):
    """TF-MOT's magnitude pruning while training by the labels and the teacher."""
    return _weight_pruning(task, teacher=task.teacher)


def channel_pruning(task):
    """One-shot channel pruning, then fine-tuning by the labels."""
    model = _one_shot(task)
    recipe.fine_tune(model, task.images, task.settings, task.protocol.epochs, task.counting())
    return model


def channel_pruning_distilled(task):
    """One-shot channel pruning, then fine-tuning by the labels and the teacher."""
    return _distilled(task, _one_shot(task), task.settings.prune_learning_rate)


def cascade_0(task):
    """Channel pruning by gradient saliency while the teacher guides: no assistants."""
    return _cascade(task, assistants=0)


def cascade_1(task):
    """The cascade with one assistant halfway."""
    return _cascade(task, assistants=1)


def cascade_2(task):
    """The cascade with two assistants, evenly spaced."""
    return _cascade(task, assistants=2)


def cascade_3(task):
    """The cascade with three assistants, evenly spaced."""
    return _cascade(task, assistants=3)


METHODS = {
    method.__name__: method
    for method in (
        teacher,
        dense,
        distillation,
        weight_pruning,
        weight_pruning_distilled,
        channel_pruning,
        channel_pruning_distilled,
        cascade_0,
        cascade_1,
        cascade_2,
        cascade_3,
    )
}
# TF-MOT trains these in tf_keras, outside any strategy.
ON_ONE_REPLICA = ("weight_pruning", "weight_pruning_distilled")
# These remove nothing, and have one cell for all amounts.
TEACHERS = ("teacher", "dense")


def check_reachable(task, method):
    """Finds an amount that a method cannot reach, before anything is trained.

    Args:
        task: a `Task`; its teacher may be untrained.
        method: a name in `METHODS`.

    Raises:
        ValueError: the method cannot remove so much of this network; it says how much it can.
    """
    if method == "distillation":
        _student(task)
    elif method.startswith("weight_pruning"):
        _sparsity(task)
    elif method not in TEACHERS:
        settings = task.settings
        scope = task.protocol.scope if method.startswith("channel") else settings.scope
        Ranking(
            ChannelGraph(task.teacher),
            settings.budget,
            scope,
            settings.round_to,
            settings.min_channels,
        ).check(task.amount)


def _student(task):
    return widest_model(
        task.network,
        task.images.input_shape,
        task.images.classes,
        max_params=round((1.0 - task.amount) * task.teacher.count_params()),
        weight_decay=task.protocol.weight_decay,
        seed=task.seed,
        synchronized=task.protocol.synchronized,
    )


def _distilled(task, student, learning_rate):
    epochs = task.protocol.epochs
    recipe.distil(
        student, task.teacher, task.images, task.settings, epochs, learning_rate, task.counting()
    )
    return student


def _weight_pruning(task, teacher):
    import tf_keras

    settings = task.settings
    # The masks are fixed at the same step as the cascade's.
    end = max(1, round(settings.end * settings.epochs * task.images.steps_per_epoch))
    return prune_weights(
        task.teacher,
        _sparsity(task),
        data=task.images.train,
        epochs=task.protocol.epochs,
        steps_per_epoch=task.images.steps_per_epoch,
        optimizer=settings.make_optimizer(settings.prune_learning_rate, task.steps),
        begin=0,
        end=end,
        teacher=teacher,
        temperature=settings.temperature,
        alpha=settings.alpha,
        callbacks=task.counting(tf_keras.callbacks),
        verbose=0,
    )


def _sparsity(task):
    """The sparsity of what TF-MOT prunes at which `amount` of all params are zero."""
    params = task.teacher.count_params()
    prunable = sum(prunable_weights(task.teacher).values())
    sparsity = task.amount * params / prunable
    if sparsity >= 1.0:
        raise ValueError(
            f"{task.amount:.0%} of the {params:,} params of '{task.network}' cannot be set to "
            f"zero: TF-MOT prunes {prunable:,} of them. Take amounts below "
            f"{prunable / params:.3f}."
        )
    return sparsity


def _one_shot(task):
    settings = task.settings
    return prune(
        task.teacher,
        task.amount,
        budget=settings.budget,
        criterion=task.protocol.criterion,
        scope=task.protocol.scope,
        round_to=settings.round_to,
        min_channels=settings.min_channels,
    )


def _cascade(task, assistants):
    levels = np.linspace(0.0, task.amount, assistants + 2)[1:]
    settings = dataclasses.replace(task.settings, levels=tuple(map(float, levels)))
    cascade, _ = recipe.train_cascade(
        copy_model(task.teacher), task.images, settings, task.counting()
    )
    student = cascade.extract()
    if settings.recover_epochs:
        recipe.recover(
            student,
            task.teacher,
            task.images,
            settings,
            settings.recover_epochs,
            task.counting(),
        )
    return student
