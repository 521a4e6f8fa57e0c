"""The stages of the recipe, each plain Keras training of one thing on one data set.

`train_teacher`, then `train_cascade`, then `recover`; `one_shot_l1` is the yardstick that gets
the same teacher, the same budget and as many images in all. `fine_tune` and `distil` train any
model on, by the labels alone or under a teacher. The data is an object with `train`, `test`
(iterables of batches, as `fit` takes them; `test` may be None), and `steps_per_epoch`. With a
`TrainingBackup` a stage goes on where it was broken off; `from_epoch` of the data, see
`data.ImageData`, then takes the place of `train`.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_cascade.cascade import (
    CascadeCallback,
    CascadeDistiller,
    Distiller,
    TeacherAnnealing,
    TrainingBackup,
)
from keras_cascade.cascade.data_faults import named
from keras_cascade.cascade.guard import guarded_fit
from keras_cascade.profile import profile
from keras_cascade.recipe.settings import Settings
from keras_cascade.saliency import prune
from keras_cascade.typing import Path, Row


def train_teacher(
    model: keras.Model,
    data: Any,
    settings: Settings,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    backup: TrainingBackup | None = None,
) -> dict[str, list[float]]:
    """Trains the model alone, in place, for `settings.teacher_epochs`."""
    rate, epochs = settings.learning_rate, settings.teacher_epochs
    return _fit(model, data, settings, rate, epochs, callbacks, backup)


def fine_tune(
    model: keras.Model,
    data: Any,
    settings: Settings,
    epochs: int,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    backup: TrainingBackup | None = None,
) -> dict[str, list[float]]:
    """Trains a model on by the labels alone, in place, from `settings.prune_learning_rate`."""
    rate = settings.prune_learning_rate
    return _fit(model, data, settings, rate, epochs, callbacks, backup)


def make_cascade(model: keras.Model, settings: Settings) -> CascadeDistiller:
    """The untrained `CascadeDistiller` of a model; raises what it refuses."""
    return CascadeDistiller(
        model,
        settings.levels,
        budget=settings.budget,
        temperature=settings.temperature,
        alpha=settings.alpha,
        guidance=settings.guidance,
        scope=settings.scope,
        round_to=settings.round_to,
        min_channels=settings.min_channels,
        momentum=settings.momentum,
        level_weights=settings.level_weights(),
        freeze_teacher=settings.freeze_teacher,
        own_normalisation=settings.own_normalisation,
        hard_masks=settings.hard_masks,
    )


def train_cascade(
    model: keras.Model,
    data: Any,
    settings: Settings,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    backup: TrainingBackup | None = None,
    log_dir: Path | None = None,
) -> tuple[CascadeDistiller, dict[str, list[float]]]:
    """Trains and prunes the cascade of a model, in place.

    Args:
        model: the trained teacher; it becomes level 0, or with `settings.freeze_teacher` what
            the other levels share.
        data: see the module.
        settings: `Settings`.
        callbacks: further Keras callbacks.
        backup: `TrainingBackup` or None.
        log_dir: a folder for TensorBoard, or None; see `CascadeCallback`.

    Returns:
        Pair of the trained `CascadeDistiller` and the logs: dict from name to a list.
    """
    cascade = make_cascade(model, settings)
    begin, end = float(settings.begin), float(settings.end)  # an int would be a step
    pruning = CascadeCallback(begin, end, slice_levels=settings.slice_levels, log_dir=log_dir)
    rate = settings.prune_learning_rate
    callbacks = [pruning, *callbacks]
    return cascade, _fit(cascade, data, settings, rate, settings.epochs, callbacks, backup)


def distil(
    student: keras.Model,
    teacher: keras.Model,
    data: Any,
    settings: Settings,
    epochs: int,
    learning_rate: float,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    backup: TrainingBackup | None = None,
) -> dict[str, list[float]]:
    """Trains a model in place by the labels and a frozen teacher.

    Args:
        student: `keras.Model`.
        teacher: `keras.Model` with the same output; any architecture.
        data: see the module.
        settings: `Settings`; with `anneal_teacher` the labels have the last word.
        epochs: how many.
        learning_rate: where the cosine begins.
        callbacks: further Keras callbacks.
        backup: `TrainingBackup` or None.

    Returns:
        The logs: dict from name to a list.
    """
    distiller = Distiller(student, teacher, temperature=settings.temperature, alpha=settings.alpha)
    if settings.anneal_teacher:
        callbacks = [TeacherAnnealing(), *callbacks]
    return _fit(distiller, data, settings, learning_rate, epochs, list(callbacks), backup)


def recover(
    student: keras.Model,
    teacher: keras.Model,
    data: Any,
    settings: Settings,
    epochs: int,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    backup: TrainingBackup | None = None,
) -> dict[str, list[float]]:
    """Trains a pruned model alone, in place, distilled from a frozen teacher.

    As `distil`, from `settings.prune_learning_rate`, with `settings.recover_alpha`.
    """
    if settings.recover_alpha is not None:
        settings = dataclasses.replace(settings, alpha=settings.recover_alpha)
    rate = settings.prune_learning_rate
    return distil(student, teacher, data, settings, epochs, rate, callbacks, backup)


def recovery_guide(
    original: keras.Model, levels: Mapping[str, keras.Model], settings: Settings
) -> keras.Model:
    """The model that `settings.recover_from` names.

    Args:
        original: the teacher as it was before the cascade.
        levels: dict from level name to its extracted model, the teacher first, the student last.
        settings: `Settings`.

    Returns:
        One of them.
    """
    if settings.recover_from == "original":
        return original
    return list(levels.values())[0 if settings.recover_from == "teacher" else -2]


def one_shot_l1(
    teacher: keras.Model,
    data: Any,
    settings: Settings,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    backup: TrainingBackup | None = None,
) -> keras.Model:
    """The yardstick: L1 pruning of the same fraction in every layer, then distilled fine-tuning.

    It starts from the same trained teacher, meets the same budget and sees as many images as
    cascade and recovery together.

    Returns:
        The pruned and trained `keras.Model`.
    """
    student = prune(
        teacher,
        settings.levels[-1],
        budget=settings.budget,
        criterion="l1",
        scope="layer",
        round_to=settings.round_to,
        min_channels=settings.min_channels,
    )
    epochs = settings.epochs + settings.recover_epochs
    rate = settings.prune_learning_rate
    distil(student, teacher, data, settings, epochs, rate, callbacks, backup)
    return student


def accuracy_on_test(model: keras.Model, data: Any) -> float:
    """The share of `data.test` that a model classifies rightly, in [0, 1]."""
    # Compiling a second model of the same layers leaves the one that is handed out uncompiled.
    evaluated = keras.Model(model.inputs, model.outputs)
    # On TensorFlow compiling takes longer than it saves; JAX would run one operation at a time.
    jit = "auto" if keras.backend.backend() == "jax" else False
    evaluated.compile(loss=classification_loss(), metrics=classification_metrics(), jit_compile=jit)
    with named(lambda: "in testing"):
        results = evaluated.evaluate(data.test, verbose=0, return_dict=True)
    return float(results["accuracy"])


def evaluate(name: str, model: keras.Model, data: Any, seed: int) -> Row:
    """One row of results: what a model reaches on the test split, and what it costs.

    Returns:
        Dict with name, accuracy (in [0, 1]), params, nonzero_params, macs, bytes (of the
        weights), seed.
    """
    sizes = profile(model)
    return {
        "name": name,
        "accuracy": accuracy_on_test(model, data),
        "params": sizes.params,
        "nonzero_params": sizes.nonzero_params,
        "macs": sizes.macs,
        "bytes": sizes.bytes,
        "seed": seed,
    }


def classification_loss() -> keras.losses.Loss:
    """The loss of all stages: cross-entropy of class numbers and logits."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def classification_metrics() -> list[keras.metrics.Metric]:
    """The metric of all stages. By its name alone, TensorFlow would trace each step twice."""
    return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]


def _fit(trainer, data, settings, learning_rate, epochs, callbacks, backup=None):
    """Compiles and fits; goes on where a backup was made. Returns the logs."""
    trainer.compile(
        optimizer=settings.make_optimizer(learning_rate, epochs * data.steps_per_epoch),
        loss=classification_loss(),
        metrics=classification_metrics(),
        jit_compile=settings.use_jit(),
    )
    options = {
        "epochs": epochs,
        "validation_data": data.test,
        "callbacks": list(callbacks),
        "shuffle": False,  # the data set shuffles itself
        "verbose": 0,
    }
    if backup is None:
        return guarded_fit(trainer.fit, data.train, **options).history
    return backup.fit(trainer, data.from_epoch, steps_per_epoch=data.steps_per_epoch, **options)
