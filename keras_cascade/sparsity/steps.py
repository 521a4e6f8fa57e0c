"""At which steps of a run masks are updated, and how much of the target holds from then on."""

import numbers

import keras

from keras_cascade.cascade import CascadeCallback

_UPDATES = 50


def updates(data, epochs, batch_size, steps_per_epoch, begin, end, frequency, schedule):
    """The steps of mask updates, the last one at `end`.

    Args:
        data, epochs, batch_size, steps_per_epoch: what `fit` will be given.
        begin, end, frequency, schedule: as for `CascadeCallback`.

    Returns:
        List of `(step, share)`: steps counted from 1, and the share of the target at each.

    Raises:
        ValueError: as `CascadeCallback`; or an end after the end of training, or no training.
    """
    window = CascadeCallback(begin, end, frequency, schedule)  # it says what is wrong with them
    per_epoch = steps_per_epoch or _steps(data, batch_size)
    total = None if per_epoch is None else per_epoch * epochs
    if total == 0:
        raise ValueError(
            f"There is nothing to train on: {epochs} epochs of {per_epoch} steps. Pass data with "
            "examples in it, and epochs of at least 1."
        )
    begin, end = _at(window.begin, total), _at(window.end, total)
    if begin >= end:
        raise ValueError(
            f"Pruning would end at step {end}, not after it begins at {begin}. Train for more "
            "steps, or move begin and end apart."
        )
    if total and end > total:
        raise ValueError(
            f"Pruning ends at step {end}, training already at step {total}: the target would be "
            "missed. Lower end, or train longer."
        )
    every = window.frequency or max(1, (end - begin) // _UPDATES)
    return [
        (step, float(window.schedule((step - begin) / (end - begin))))
        for step in [*range(begin + every, end, every), end]
    ]


def _steps(data, batch_size):
    """Steps of an epoch, or None where the data do not tell."""
    if isinstance(data, tuple):
        examples = len(keras.tree.flatten(data[0])[0])
        return -(-examples // (batch_size or 32))
    if hasattr(data, "cardinality"):
        steps = int(data.cardinality())
        return steps if steps >= 0 else None  # negative: infinite or unknown
    return len(data) if hasattr(data, "__len__") else None


def _at(point, total):
    if isinstance(point, numbers.Integral):
        return int(point)
    if total is None:
        raise ValueError(
            "begin and end are fractions of training, but the data set's length is unknown. Pass "
            "steps_per_epoch, or give begin and end as steps (int)."
        )
    return round(point * total)
