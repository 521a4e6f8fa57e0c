"""The methods that a study compares: each trains one smaller model for the same number of steps.

A method is a function from a `Task` to the trained `keras.Model`. The teacher it is given is never
changed: what starts from the teacher's weights starts from a copy. `METHODS` holds them by name, in
the order in which reports show them.
"""

import dataclasses

import keras
import numpy as np

from keras_cascade import recipe
from keras_cascade.graph import ChannelGraph
from keras_cascade.models import build_model, widest_model
from keras_cascade.saliency import OneShot, Ranking
from keras_cascade.sparsity import prunable_weights, prune_weights
from keras_cascade.surgery import Surgeon, copy_model


def teacher(task):
    """The dense teacher as every method finds it: no further step."""
    return task.teacher


def dense(task):
    """The teacher, trained on by the labels: what more steps alone are worth."""
    return _fine_tuned(task, copy_model(task.teacher))


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
    return _fine_tuned(task, _one_shot(task))


def channel_pruning_distilled(task):
    """One-shot channel pruning, then fine-tuning by the labels and the teacher."""
    return _distilled(task, _one_shot(task), task.settings.prune_learning_rate)


def pruned_from_scratch(task):
    """The channels of a pruned network without its weights: random ones, distilled.

    Liu et al., "Rethinking the Value of Network Pruning", ICLR 2019.
    """
    whole = build_model(
        task.network,
        task.images.input_shape,
        task.images.classes,
        width=task.width,
        weight_decay=task.protocol.weight_decay,
        seed=task.seed,
        synchronized=task.protocol.synchronized,
    )
    graph = ChannelGraph(whole)
    kept = task.result_of(task.protocol.shape_of)["kept"]
    masks = {
        group.name: np.arange(group.size) < kept[group.name] for group in graph.prunable_groups
    }
    small = Surgeon(whole, graph).extract(masks, verify=False)
    # Cut from larger kernels, the weights would have the deviations of those.
    return _distilled(task, keras.models.clone_model(small), task.settings.learning_rate)


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


def cascade_4(task):
    """The cascade with four assistants, evenly spaced."""
    return _cascade(task, assistants=4)


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
        cascade_4,
        pruned_from_scratch,
    )
}
# TF-MOT trains these in tf_keras, outside any strategy.
WEIGHT_PRUNING = ("weight_pruning", "weight_pruning_distilled")
# These go by the result of the method that `Protocol.shape_of` names; weight pruning only where an
# amount is not of the params.
NEED_RESULTS = ("pruned_from_scratch", *WEIGHT_PRUNING)
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
    elif method in WEIGHT_PRUNING:
        if task.settings.budget == "params":  # otherwise it goes by another method's result
            _sparsity(task)
    elif method not in (*TEACHERS, "pruned_from_scratch"):
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
    if task.settings.budget != "params":
        raise ValueError(
            "'distillation' finds its network by params: take budget='params', or the method "
            "'pruned_from_scratch'."
        )
    return widest_model(
        task.network,
        task.images.input_shape,
        task.images.classes,
        max_params=round((1.0 - task.amount) * task.teacher.count_params()),
        weight_decay=task.protocol.weight_decay,
        seed=task.seed,
        synchronized=task.protocol.synchronized,
    )


def _fine_tuned(task, model):
    recipe.fine_tune(
        model,
        task.images,
        task.settings,
        task.protocol.epochs,
        task.callbacks("fine-tuning"),
        task.backup("fine-tuning"),
    )
    return model


def _distilled(task, student, learning_rate):
    recipe.distil(
        student,
        task.teacher,
        task.images,
        task.settings,
        task.protocol.epochs,
        learning_rate,
        task.callbacks("distillation"),
        task.backup("distillation"),
    )
    return student


def _weight_pruning(task, teacher):
    settings = task.settings
    # The masks change between the same steps as the cascade's.
    joint_steps = settings.epochs * task.images.steps_per_epoch
    begin = round(settings.begin * joint_steps)
    end = max(begin + 1, round(settings.end * joint_steps))
    return prune_weights(
        task.teacher,
        _sparsity(task),
        data=task.images.train,
        epochs=task.protocol.epochs,
        steps_per_epoch=task.images.steps_per_epoch,
        optimizer=settings.make_optimizer(settings.prune_learning_rate, task.steps),
        begin=begin,
        end=end,
        keep=_left_dense(task),
        teacher=teacher,
        temperature=settings.temperature,
        alpha=settings.alpha,
        anneal_teacher=settings.anneal_teacher,
        callbacks=task.tf_keras_callbacks("weight pruning"),
        verbose=0,
    )


def _sparsity(task):
    """The sparsity of what TF-MOT prunes at which `amount` of all params are zero.

    Where the amount is of another budget, as many params are left as the pruned network has that
    `shape_of` names.
    """
    params = task.teacher.count_params()
    amount = task.amount
    if task.settings.budget != "params":
        amount = 1.0 - task.result_of(task.protocol.shape_of)["params"] / params
    prunable = sum(prunable_weights(task.teacher, _left_dense(task)).values())
    sparsity = amount * params / prunable
    if sparsity >= 1.0:
        raise ValueError(
            f"{amount:.0%} of the {params:,} params of '{task.network}' cannot be set to "
            f"zero: TF-MOT prunes {prunable:,} of them. Take amounts below "
            f"{prunable / params:.3f}."
        )
    return sparsity


def _left_dense(task):
    names = list(prunable_weights(task.teacher))
    return {names[0], names[-1]} if task.protocol.dense_ends else ()


def _one_shot(task):
    settings, criterion = task.settings, task.protocol.criterion
    by_data = {"data": task.images.train, "loss": recipe.classification_loss()}
    graph = ChannelGraph(task.teacher)
    scored = OneShot(
        graph,
        settings.budget,
        criterion,
        scope=task.protocol.scope,
        round_to=settings.round_to,
        min_channels=settings.min_channels,
        **(by_data if criterion == "taylor" else {}),
    )
    masks = scored.masks(task.amount)
    _note_kept(task, masks)
    return Surgeon(task.teacher, graph).extract(masks)


def _note_kept(task, masks):
    task.notes["kept"] = {name: int(mask.sum()) for name, mask in masks.items()}


def _cascade(task, assistants):
    settings = dataclasses.replace(
        task.settings, levels=_levels(task.amount, assistants, task.protocol.spacing)
    )
    cascade, _ = recipe.train_cascade(
        copy_model(task.teacher),
        task.images,
        settings,
        task.callbacks("cascade"),
        task.backup("cascade"),
    )
    _note_kept(task, cascade.masks())
    task.levels.update({name: cascade.extract(name) for name in cascade.level_names})
    student = copy_model(task.levels["student"])
    if settings.recover_epochs:
        recipe.recover(
            student,
            recipe.recovery_guide(task.teacher, task.levels, settings),
            task.images,
            settings,
            settings.recover_epochs,
            task.callbacks("recovery"),
            task.backup("recovery"),
        )
    return student


def _levels(amount, assistants, spacing):
    """What each level removes, the student's last."""
    steps = np.arange(1, assistants + 2) / (assistants + 1)
    removed = amount * steps if spacing == "even" else 1.0 - (1.0 - amount) ** steps
    return (*map(float, removed[:-1]), amount)
