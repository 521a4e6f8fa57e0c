"""Weight pruning of Keras 3 models by TF-MOT.

A copy of the model crosses the bridge, TF-MOT's wrappers go round the layers it prunes a weight of,
tf_keras trains, and the sparse weights come back layer by layer into the copy: a Keras 3 model with
all its layers as they were. What was asked is checked on every tensor, not assumed.
"""

import math
from collections.abc import Collection, Iterable
from typing import Any

import keras

from keras_cascade.cascade import data_faults
from keras_cascade.sparsity.bridge import Bridge
from keras_cascade.sparsity.steps import updates
from keras_cascade.sparsity.toolkit import import_tfmot
from keras_cascade.sparsity.zeros import Pattern
from keras_cascade.surgery import copy_model


def prune_weights(
    model: keras.Model,
    sparsity: float,
    *,
    data: Any,
    epochs: int = 1,
    validation_data: Any = None,
    batch_size: int | None = None,
    steps_per_epoch: int | None = None,
    optimizer: Any = "adam",
    loss: Any = None,
    metrics: Iterable[Any] | None = ("accuracy",),
    schedule: Any = None,
    begin: float = 0.0,
    end: float = 0.6,
    frequency: int | None = None,
    teacher: keras.Model | None = None,
    temperature: float = 4.0,
    alpha: float = 0.5,
    anneal_teacher: bool = False,
    block_size: tuple[int, int] = (1, 1),
    two_by_four: bool = False,
    keep: Collection[str] = (),
    callbacks: Iterable[Any] = (),
    verbose: str | int = "auto",
) -> keras.Model:
    """Trains a copy of a model while TF-MOT sets its smallest weights to zero.

    Magnitude pruning per tensor (Zhu & Gupta, "To prune, or not to prune", 2017, section 3), by
    `tfmot.sparsity.keras.prune_low_magnitude` on a tf_keras twin, trained by tf_keras's `fit`.
    TF-MOT says what is pruned: kernels of convolutions, Dense, recurrent and attention layers,
    embeddings; never depthwise kernels, biases or normalisation. It prunes layers that are frozen
    (`trainable=False`) too: their smallest weights become zero, the others stay as they are; name
    such layers in `keep` where they shall not change at all. Zeros make a model smaller only
    once it is compressed (gzip), and no faster on ordinary kernels. Plain training afterwards loses
    them; `SparsityGuard` keeps them.

    Args:
        model: a built Functional or Sequential `keras.Model`, on any backend; it is not changed.
        sparsity: fraction of zeros wanted in every pruned tensor, in (0, 1).
        data: a tuple `(x, y)` or `(x, y, sample_weight)` of arrays, or batches of these: a
            `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator.
        epochs, batch_size, steps_per_epoch, verbose: as for `fit`.
        validation_data: of the kinds that `data` is of, or None.
        optimizer: a name, a Keras 3 optimizer or a tf_keras one. With `use_ema` the pruned weights
            are the averages, with the zeros of the last masks.
        loss: a name, a Keras 3 loss or a tf_keras one; None: sparse categorical cross-entropy, from
            logits unless the model ends in a softmax or sigmoid.
        metrics: list of names, or of metrics of Keras 3 or tf_keras; None: no metrics.
        schedule: function from progress in [0, 1] to the share of `sparsity`, 1 at the end;
            default: `PolynomialSchedule()`. Or a TF-MOT `PruningSchedule`, used as it is: then
            `begin`, `end` and `frequency` play no part.
        begin, end: first and last step that prune: a float is a fraction of training, an int a
            step.
        frequency: steps between mask updates; None: about 50 updates in all. The last one is at
            `end`, so that a short run meets the whole target too.
        teacher: a Keras 3 model with the same inputs and output; the loss is then
            (1 - alpha) * labels + alpha * T^2 KL(teacher || model) plus the regularisers, as in
            `Distiller`. It is not changed.
        temperature: T, above 0.
        alpha: weight of the teacher against the labels, in [0, 1).
        anneal_teacher: whether that weight falls to 0 until the end, as by `TeacherAnnealing`.
        block_size: (height, width) of the blocks in which zeros come; other than (1, 1) for
            weights with 2 dimensions only.
        two_by_four: two zeros in every four weights along the input channels, which sparse tensor
            cores run; `sparsity` must be 0.5. TF-MOT prunes once then, at the first step. Of four
            that the channels do not fill, two may stay: three input channels keep two thirds.
        keep: names of layers to leave dense.
        callbacks: `tf_keras.callbacks.Callback`s.

    Returns:
        A functional `keras.Model`, nested models dissolved, not compiled, with the pruned weights
        and all the other weights that training changed.

    Raises:
        ValueError: an argument out of range, an unknown name in `keep`, nothing to prune, a layer
            that cannot be pruned so, or that has no counterpart in tf_keras; labels outside the
            model's classes.
        TypeError: data, metrics or callbacks of a kind that cannot be trained with.
        NonFiniteLossError: the loss or a weight became NaN or infinite.
        DataError: a tf.data pipeline failed; its own error is the cause.
        RuntimeError: in the end a tensor lacks the zeros asked for.
        ImportError: TF-MOT is not installed.

    Example:

    ```python
    sparse = kc.prune_weights(model, 0.8, data=train, epochs=5)
    ```
    """
    pattern = Pattern(sparsity, tuple(block_size), two_by_four)
    import_tfmot()  # before what imports it without saying how to install it
    from keras_cascade.sparsity import training, training_data

    data = training_data.readable(data)
    validation_data = training_data.readable_validation(validation_data)
    metrics = training.checked_metrics(metrics)
    steps = (data, epochs, batch_size, steps_per_epoch, begin, end, frequency)
    planned = _planned(two_by_four, schedule, steps)
    callbacks = training.checked_callbacks(callbacks)
    student = copy_model(model)
    bridge = Bridge(student)
    trainer = pruned = bridge.assemble(_wrapped(bridge, pattern, planned, keep))
    labels_loss = loss or training.default_loss(student)
    training.check_labels(data, labels_loss, student.output_shape)
    if teacher is not None:
        training.check_teacher(teacher, student, labels_loss, temperature, alpha)
        trainer = training.taught(pruned, teacher, labels_loss, temperature, alpha)
        callbacks = [*callbacks, training.Annealing()] if anneal_teacher else callbacks
    checked_loss = training.checked_loss(labels_loss, student.output_shape)
    _compile(trainer, optimizer, checked_loss, metrics)
    training.make_variables(trainer, labels_loss)
    watch = training.StopAtBadLoss(checked_loss)
    with data_faults.named(watch.where, kept=training.UNCHANGED):
        trainer.fit(
            *(data if isinstance(data, tuple) else (data,))[:2],
            sample_weight=data[2] if isinstance(data, tuple) and len(data) > 2 else None,
            epochs=epochs,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            validation_data=validation_data,
            callbacks=[training.PruningSteps(), watch, *callbacks],
            verbose=verbose,
        )
    training.check_finite(bridge.layers)
    _check_zeros(pruned, pattern)
    _bring_back(pruned, bridge)
    return student


def prunable_weights(model: keras.Model, keep: Collection[str] = ()) -> dict[str, int]:
    """How many weights of each layer `prune_weights` would prune.

    Args:
        model: a built Functional or Sequential `keras.Model`.
        keep: names of layers to leave dense.

    Returns:
        Dict from layer name (as in the flattened model) to the number of weights.

    Raises:
        ValueError: an unknown name in `keep`, nothing to prune, or a layer without counterpart in
            tf_keras.
        ImportError: TF-MOT is not installed.

    Example:

    ```python
    counts = kc.sparsity.prunable_weights(model)
    largest_share = sum(counts.values()) / model.count_params()
    ```
    """
    prunable = _prunable(Bridge(model, verify=False), keep)
    return {
        name: sum(math.prod(weight.shape) for weight in weights)
        for name, weights in prunable.items()
    }


def _planned(two_by_four, schedule, steps):
    """When TF-MOT prunes: a list of `(step, share)`, or its schedule as the user gave it."""
    if two_by_four:
        return [(1, 1.0)]  # TF-MOT prunes so once
    if isinstance(schedule, import_tfmot().PruningSchedule):
        return schedule
    return updates(*steps, schedule)


def _compile(trainer, optimizer, loss, metrics):
    from keras_cascade.sparsity import training

    trainer.compile(
        optimizer=training.in_tf_keras(optimizer),
        loss=loss,
        metrics=training.in_tf_keras(metrics),
        jit_compile=False,
    )


def _wrapped(bridge, pattern, planned, keep):
    """The layers to prune in TF-MOT's wrappers: dict from name to what is called in their place.

    Args:
        bridge: `Bridge` of the model.
        pattern: `Pattern`.
        planned: list of `(step, share)`, or a TF-MOT schedule.
        keep: names of layers to leave dense.
    """
    tfmot = import_tfmot()
    from keras_cascade.sparsity import training

    calls = [call.name for call in bridge.trace.calls]
    wrapped = {}
    for name, weights in _prunable(bridge, keep).items():
        pattern.check_shapes(name, [tuple(weight.shape) for weight in weights])
        schedule = planned
        if isinstance(planned, list):
            # TF-MOT counts calls of the layer, of which a shared one has several in a step.
            schedule = training.StepSchedule(
                [step * calls.count(name) for step, _ in planned],
                [pattern.sparsity * share for _, share in planned],
            )
        wrapper = tfmot.prune_low_magnitude(
            bridge.layers[name],
            pruning_schedule=schedule,
            block_size=pattern.block_size,
            sparsity_m_by_n=(2, 4) if pattern.two_by_four else None,
        )
        wrapped[name] = _transparent(wrapper)
    return wrapped


def _check_zeros(pruned, pattern):
    """Raises RuntimeError unless every wrapped weight of a model has the zeros asked for."""
    for wrapper in (layer for layer in pruned.layers if hasattr(layer, "pruning_vars")):
        for weight, mask, _ in wrapper.pruning_vars:
            pattern.check_zeros(wrapper.layer.name, weight.numpy(), mask.numpy())


def _bring_back(pruned, bridge):
    """Copies the weights of a trained tf_keras model into the Keras 3 one it was made from."""
    stripped = import_tfmot().strip_pruning(pruned)
    for name, layer in bridge.trace.layers.items():
        layer.set_weights(stripped.get_layer(name).get_weights())


def _transparent(wrapper):
    """A wrapper that lets masks and all arguments through, as the layer inside takes them.

    TF-MOT's wrapper drops masks, gives them to layers that take none, and takes the second
    positional argument (the value of an attention layer) for `training`.
    """
    layer = wrapper.layer
    wrapper.supports_masking = layer.supports_masking
    wrapper.compute_mask = layer.compute_mask
    wrapper._call_spec._expects_mask_arg = layer._call_spec.expects_mask_arg
    names = layer._call_spec.arg_names

    def called(inputs, *args, **kwargs):
        return wrapper(inputs, **dict(zip(names[1:], args, strict=False)), **kwargs)

    return called


def _prunable(bridge, keep):
    """The weights TF-MOT prunes, as a dict from layer name to a list of variables."""
    unknown = sorted(set(keep) - set(bridge.layers))
    if unknown:
        raise ValueError(
            f"keep names layers that are not there: {unknown}. The model's layers are "
            f"{sorted(bridge.layers)}."
        )
    found = {name: _pruned_weights(layer) for name, layer in bridge.layers.items()}
    prunable = {name: weights for name, weights in found.items() if weights and name not in keep}
    if not prunable:
        raise ValueError(
            f"Model '{bridge.model.name}' has no layer that TF-MOT prunes"
            f"{' besides those in keep' if keep else ''}; it prunes kernels of convolutions "
            "(not depthwise), Dense, recurrent and attention layers, and embeddings."
        )
    return prunable


def _pruned_weights(layer):
    """The weights of a built tf_keras layer that TF-MOT prunes; none if it does not know it."""
    registry = import_tfmot().PruneRegistry
    if not registry.supports(layer):
        return []
    return registry.make_prunable(layer).get_prunable_weights()
