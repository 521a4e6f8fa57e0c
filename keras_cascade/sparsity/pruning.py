"""Weight pruning of Keras 3 models by TF-MOT.

A copy of the model crosses the bridge, TF-MOT's wrappers go round the layers it prunes a weight of,
tf_keras trains, and the sparse weights come back layer by layer into the copy: a Keras 3 model with
all its layers as they were. What was asked is checked on every tensor, not assumed.
"""

import numbers

import keras
import numpy as np

from keras_cascade.cascade import CascadeCallback, returns_probabilities
from keras_cascade.cascade.losses import Targets
from keras_cascade.sparsity.bridge import Bridge
from keras_cascade.sparsity.toolkit import import_tfmot
from keras_cascade.surgery import copy_model

_UPDATES = 50
_TOLERANCE = 0.005


def prune_weights(
    model,
    sparsity,
    *,
    data,
    epochs=1,
    validation_data=None,
    batch_size=None,
    steps_per_epoch=None,
    optimizer="adam",
    loss=None,
    metrics=("accuracy",),
    schedule=None,
    begin=0.0,
    end=0.6,
    frequency=None,
    teacher=None,
    temperature=4.0,
    alpha=0.5,
    block_size=(1, 1),
    two_by_four=False,
    keep=(),
    callbacks=(),
    verbose="auto",
):
    """Trains a copy of a model while TF-MOT sets its smallest weights to zero.

    Magnitude pruning per tensor (Zhu & Gupta, "To prune, or not to prune", 2017), by
    `tfmot.sparsity.keras.prune_low_magnitude` on a tf_keras twin, trained with tf_keras's `fit`.
    TF-MOT says what is pruned: kernels of convolutions, Dense, recurrent and attention layers,
    embeddings; never depthwise kernels, biases or normalisation. Zeros make a model smaller only
    once it is compressed (gzip), and no faster on ordinary kernels. Plain training afterwards loses
    them; `SparsityGuard` keeps them.

    Args:
        model: a built Functional or Sequential `keras.Model`, on any backend; it is not changed.
        sparsity: fraction of zeros wanted in every pruned tensor, in (0, 1).
        data: `(x, y)` arrays, or a `tf.data.Dataset` or other iterable that tf_keras's fit takes.
        epochs, validation_data, batch_size, steps_per_epoch, verbose: as for `fit`.
        optimizer: a name, a Keras 3 optimizer or a tf_keras one.
        loss: a name, a Keras 3 loss or a tf_keras one; None: sparse categorical cross-entropy, from
            logits unless the model ends in a softmax or sigmoid.
        metrics: as for `compile`: names, or metrics of tf_keras.
        schedule: function from progress in [0, 1] to the share of `sparsity`, 1 at the end; default:
            `PolynomialSchedule()`. Or a TF-MOT `PruningSchedule`, used as it is.
        begin, end: first and last step that prune: a float is a fraction of training, an int a step.
        frequency: steps between mask updates; None: about 50 updates in all. The last one is at
            `end`, so that a short run meets the whole target too.
        teacher: a Keras 3 model with the same inputs and output; the loss is then
            (1 - alpha) * labels + alpha * T^2 KL(teacher || student) plus the regularisers, as in
            `Distiller`. It is not changed.
        temperature: T, above 0.
        alpha: weight of the teacher against the labels, in [0, 1).
        block_size: (height, width) of the blocks in which zeros come; other than (1, 1) for 2-D
            kernels only.
        two_by_four: two zeros in every four weights along the input channels, which sparse tensor
            cores run; `sparsity` must be 0.5, and TF-MOT prunes once, at the first step.
        keep: names of layers to leave dense.
        callbacks: `tf_keras.callbacks.Callback`s.

    Returns:
        A functional `keras.Model`, nested models dissolved, not compiled, with the pruned weights
        and all the other weights the training changed.

    Raises:
        ValueError: an argument out of range, an unknown name in `keep`, nothing to prune, a layer
            that cannot be pruned so, or has no counterpart in tf_keras.
        NonFiniteLossError: the loss became NaN or infinite.
        RuntimeError: in the end a tensor lacks the zeros asked for.
        ImportError: TF-MOT is not installed.

    Example:

    ```python
    sparse = kc.prune_weights(model, 0.8, data=train, epochs=5)
    ```
    """
    if not 0.0 < sparsity < 1.0:
        raise ValueError(f"sparsity must lie in (0, 1), got {sparsity}.")
    if two_by_four and sparsity != 0.5:
        raise ValueError(
            f"two_by_four leaves half of the weights; sparsity is {sparsity}, not 0.5."
        )
    tfmot = import_tfmot()
    from keras_cascade.sparsity import training

    if isinstance(schedule, tfmot.PruningSchedule):
        steps, shares = None, None
    else:
        window = CascadeCallback(begin, end, frequency, schedule)
        total = _total_steps(data, epochs, batch_size, steps_per_epoch)
        steps, shares = _updates(window, total)
    student = copy_model(model)
    bridge = Bridge(student)
    calls = [call.name for call in bridge.trace.calls]
    wrapped = {}
    for name, weights in _prunable(bridge, keep).items():
        _check_pattern(name, weights, block_size, two_by_four)
        chosen = schedule
        if steps is not None:
            # TF-MOT counts calls of the layer; a shared one is called several times a step.
            chosen = training.StepSchedule(
                [step * calls.count(name) for step in steps],
                [sparsity * share for share in shares],
            )
        wrapped[name] = tfmot.prune_low_magnitude(
            bridge.layers[name],
            pruning_schedule=chosen,
            block_size=tuple(block_size),
            sparsity_m_by_n=(2, 4) if two_by_four else None,
        )
    pruned = bridge.assemble(wrapped)
    trainer, loss_weights = pruned, None
    if loss is None:
        loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=not returns_probabilities(model)
        )
    if teacher is not None:
        trainer = _taught(pruned, student, teacher, loss, temperature, alpha)
        loss_weights = 1.0 - alpha
    trainer.compile(
        optimizer=training.as_tf_keras(optimizer, "optimizer"),
        loss=training.as_tf_keras(loss, "loss"),
        loss_weights=loss_weights,
        metrics=list(metrics),
        jit_compile=False,
    )
    x, y = data if isinstance(data, tuple) else (data, None)
    trainer.fit(
        x,
        y,
        epochs=epochs,
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        validation_data=validation_data,
        callbacks=[tfmot.UpdatePruningStep(), training.StopAtBadLoss(), *callbacks],
        verbose=verbose,
    )
    stripped = tfmot.strip_pruning(pruned)
    for name in wrapped:
        for weight in _pruned_weights(tfmot, stripped.get_layer(name)):
            _check_zeros(name, weight.numpy(), sparsity, block_size, two_by_four)
    for name, layer in bridge.trace.layers.items():
        layer.set_weights(stripped.get_layer(name).get_weights())
    return student


def prunable_weights(model, keep=()):
    """How many weights of each layer `prune_weights` would prune.

    Args:
        model: a built Functional or Sequential `keras.Model`.
        keep: names of layers to leave dense.

    Returns:
        Dict from layer name (as in the flattened model) to the number of weights.

    Raises:
        ValueError: an unknown name in `keep`, nothing to prune, or a layer without counterpart.
        ImportError: TF-MOT is not installed.

    Example:

    ```python
    share = sum(kc.sparsity.prunable_weights(model).values()) / model.count_params()
    ```
    """
    bridge = Bridge(model, verify=False)
    return {
        name: sum(int(np.prod(weight.shape)) for weight in weights)
        for name, weights in _prunable(bridge, keep).items()
    }


def _prunable(bridge, keep):
    """The weights TF-MOT prunes, as a dict from layer name to a list of variables."""
    tfmot = import_tfmot()
    unknown = set(keep) - set(bridge.layers)
    if unknown:
        raise ValueError(
            f"keep names layers that are not there: {sorted(unknown)}. "
            f"The model's layers are {sorted(bridge.layers)}."
        )
    found = {name: _pruned_weights(tfmot, layer) for name, layer in bridge.layers.items()}
    prunable = {name: weights for name, weights in found.items() if weights and name not in keep}
    if not prunable:
        raise ValueError(
            f"Model '{bridge.model.name}' has no layer that TF-MOT prunes"
            f"{' besides those in keep' if keep else ''}; it prunes kernels of convolutions "
            "(not depthwise), Dense, recurrent, attention and Embedding layers."
        )
    return prunable


def _pruned_weights(tfmot, layer):
    if not tfmot.PruneRegistry.supports(layer):
        return []
    return tfmot.PruneRegistry.make_prunable(layer).get_prunable_weights()


def _total_steps(data, epochs, batch_size, steps_per_epoch):
    """Steps in all, or None where the length of the data is not known."""
    steps = steps_per_epoch
    if steps is None and isinstance(data, tuple):
        examples = len(next(iter(keras.tree.flatten(data[0]))))
        steps = -(-examples // (batch_size or 32))
    elif steps is None and hasattr(data, "cardinality"):
        steps = max(int(data.cardinality()), 0) or None  # negative: infinite or unknown
    elif steps is None and hasattr(data, "__len__"):
        steps = len(data)
    return steps and steps * epochs


def _updates(window, total):
    """The steps at which masks are updated, and the share of the target at each."""
    begin, end = (_step(point, total) for point in (window.begin, window.end))
    if begin >= end:
        raise ValueError(
            f"Pruning would end at step {end}, not after it begins at {begin}. Train for more "
            "steps, or move begin and end apart."
        )
    if total is not None and end > total:
        raise ValueError(
            f"Pruning ends at step {end}, training already at step {total}: the target would be "
            "missed. Lower end, or train longer."
        )
    every = window.frequency or max(1, (end - begin) // _UPDATES)
    steps = [*range(begin + every, end, every), end]
    return steps, [float(window.schedule((step - begin) / (end - begin))) for step in steps]


def _step(point, total):
    if isinstance(point, numbers.Integral):
        return int(point)
    if total is None:
        raise ValueError(
            "begin and end are fractions of training, but the data set's length is unknown. Pass "
            "steps_per_epoch, or give begin and end as steps (int)."
        )
    return round(point * total)


def _check_pattern(name, weights, block_size, two_by_four):
    """Raises where TF-MOT would, naming the layer."""
    ranks = {len(weight.shape) for weight in weights}
    if two_by_four and not ranks <= {2, 4}:
        reason = "two_by_four prunes kernels with 2 or 4 dimensions"
    elif tuple(block_size) != (1, 1) and ranks != {2}:
        reason = f"blocks of {tuple(block_size)} need 2-D kernels"
    else:
        return
    shapes = [tuple(weight.shape) for weight in weights]
    raise ValueError(
        f"{reason}; layer '{name}' has {shapes}. Leave it dense: keep=['{name}', ...]."
    )


def _taught(pruned, student, teacher, loss, temperature, alpha):
    """The tf_keras model that trains `pruned` under a teacher."""
    from keras_cascade.sparsity import training

    if not 0.0 <= alpha < 1.0:
        raise ValueError(f"alpha must lie in [0, 1), got {alpha}.")
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}.")
    if student.output_shape[1:] != teacher.output_shape[1:]:
        raise ValueError(
            f"Model '{student.name}' returns {student.output_shape}, teacher '{teacher.name}' "
            f"{teacher.output_shape}; they must predict the same classes."
        )
    if returns_probabilities(student) != returns_probabilities(teacher):
        raise ValueError(
            f"Of model '{student.name}' and teacher '{teacher.name}', one ends in probabilities "
            "(softmax, sigmoid), the other in logits; make them end alike."
        )
    targets = Targets.of(loss, student.output_shape[-1])
    if targets is None:
        raise ValueError(
            f"No KL divergence is defined for loss={loss!r}; with a teacher, use one of Keras 3's "
            "cross-entropies."
        )
    frozen = Bridge(teacher).model
    frozen.trainable = False
    soft_targets = training.SoftTargets(temperature, targets.from_logits, targets.binary)
    trainer = training.TaughtModel(pruned.input, pruned.output, name=pruned.name)
    return trainer.taught_by(lambda x: frozen(x, training=False), soft_targets, alpha)


def _check_zeros(name, weight, sparsity, block_size, two_by_four):
    """Raises unless a tensor has the zeros that were asked for."""
    if two_by_four:
        # Along the input channels, the last axis but one, in groups of four.
        groups = _in_blocks(np.moveaxis(weight, -2, -1).reshape(-1, weight.shape[-2]), (1, 4))
        if (np.count_nonzero(groups, axis=-1) <= 2).all():
            return
        found = "more than two non-zeros in four"
    else:
        matrix = weight if weight.ndim == 2 else weight.reshape(1, -1)
        zero = (_in_blocks(matrix, block_size) == 0.0).all(axis=-1)
        if zero.mean() >= sparsity - max(_TOLERANCE, 1.0 / zero.size):
            return
        found = f"{zero.mean():.2%} zeros instead of {sparsity:.2%}"
    raise RuntimeError(
        f"Layer '{name}' has {found} after training. Its schedule must reach the whole target before "
        "training ends: move end forward, or train for more steps."
    )


def _in_blocks(matrix, block_size):
    """The entries of each block of a matrix, zeros beyond its edge: shape `(blocks, entries)`."""
    height, width = block_size
    rows, columns = (-(-size // step) for size, step in zip(matrix.shape, block_size, strict=True))
    padded = np.zeros((rows * height, columns * width), matrix.dtype)
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    blocks = padded.reshape(rows, height, columns, width).swapaxes(1, 2)
    return blocks.reshape(rows * columns, height * width)
