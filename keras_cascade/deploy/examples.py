"""Examples of a model's inputs: what files are calibrated and compared on, in the model's order."""

import itertools

import keras
import numpy as np

# Calibration reads the range of every activation; more examples hardly change it.
_MOST_EXAMPLES = 256
_BATCH = 16


def examples_of(model, data):
    """The inputs in some data, as arrays.

    Args:
        model: a `keras.Model` with fixed sizes.
        data: an array, a list of arrays (one for each input), a tuple of inputs and labels, or an
            iterable of batches such as a `tf.data.Dataset`, `x` or `(x, y)`. Where there are
            several inputs, a dict from their names does for a list.

    Returns:
        List of arrays, one for each input, with as many examples as calibration takes at most.

    Raises:
        ValueError: no examples, not of the model's shapes, or an input that a dict lacks.
    """
    if isinstance(data, tuple):  # inputs and labels, as `fit` and `prune` take them
        data = data[0]
    of_batches = isinstance(data, list) and data and isinstance(data[0], tuple | dict)
    if hasattr(data, "shape") or (isinstance(data, list | dict) and not of_batches):
        arrays = _in_order_of_inputs(model, data)
    else:
        arrays = _gathered(model, data)
    arrays = [values[:_MOST_EXAMPLES] for values in arrays]
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    found = [values.shape for values in arrays]
    as_many = len({have[:1] for have in found}) == 1
    fits = (
        len(found) == len(shapes)
        and as_many
        and all(
            len(have) == len(want)
            and have[0] >= (want[0] or 1)
            and all(size in (None, given) for size, given in zip(want[1:], have[1:], strict=True))
            for have, want in zip(found, shapes, strict=True)
        )
    )
    if not fits:
        raise ValueError(
            f"The examples have the shapes {found}; model '{model.name}' takes {shapes} as "
            f"{', '.join(tensor.name for tensor in model.inputs)}: one array for each input, "
            "examples first, as many of each."
        )
    return [_as_dtype(values, tensor) for values, tensor in zip(arrays, model.inputs, strict=True)]


def batches_of(model, examples):
    """Examples in batches: of the size the model has fixed, or one of one and some of more.

    Args:
        model: a `keras.Model`.
        examples: list of arrays, one for each input.

    Returns:
        List of lists of arrays.
    """
    fixed, count = model.inputs[0].shape[0], len(examples[0])
    if fixed is not None:
        starts = range(0, count - fixed + 1, fixed)
        bounds = [(start, start + fixed) for start in starts]
    else:
        starts = [0, *range(1, count, _BATCH)]
        bounds = list(itertools.pairwise([*starts, count]))
    return [[values[begin:end] for values in examples] for begin, end in bounds]


def named_batches(model, batches):
    """Batches of arrays as dicts from the names of the model's inputs, which calibration takes.

    All are of one size: calibration gives one input after the other its shape, and with several
    inputs those of two batches would meet.
    """
    names = [tensor.name for tensor in model.inputs]
    if model.inputs[0].shape[0] is None:
        batches = [
            [values[index : index + 1] for values in batch]
            for batch in batches
            for index in range(len(batch[0]))
        ]
    return [dict(zip(names, batch, strict=True)) for batch in batches]


def random_examples(model, count=16):
    """Normal numbers, zeros or "" where a model takes others: list of arrays, one an input."""
    random = np.random.default_rng(0)
    arrays = []
    for tensor in model.inputs:
        if any(size is None for size in tensor.shape[1:]):
            raise ValueError(
                f"Input '{tensor.name}' of model '{model.name}' has the open shape "
                f"{tuple(tensor.shape)}: build it with a fixed input size, or pass export "
                "representative_data, which shows the size."
            )
        shape = (max(count, tensor.shape[0] or 0), *tensor.shape[1:])
        if keras.backend.is_float_dtype(tensor.dtype):
            values = random.standard_normal(shape)
        else:
            values = np.full(shape, "" if tensor.dtype == "string" else 0)
        arrays.append(_as_dtype(values, tensor))
    return arrays


def functional_of(model):
    """The model that knows whether its inputs and outputs are dicts; a Sequential one does not."""
    return model._functional if isinstance(model, keras.Sequential) else model


def _as_dtype(values, tensor):
    """An array as an input takes it; NumPy's own strings have a length, and would be cut to it."""
    if tensor.dtype != "string":
        return values.astype(tensor.dtype)
    if values.dtype.kind not in "OSTU":
        raise ValueError(f"Input '{tensor.name}' takes strings; its examples are {values.dtype}.")
    return values.astype(object)


def _gathered(model, batches):
    parts, count = [], 0
    for batch in batches:
        inputs = batch[0] if isinstance(batch, tuple) else batch
        parts.append(_in_order_of_inputs(model, inputs))
        count += len(parts[-1][0])
        if count >= _MOST_EXAMPLES:
            break
    return [np.concatenate(values) for values in zip(*parts, strict=True)]


def _in_order_of_inputs(model, data):
    """Arrays, one for each input; a dict is read as the model reads one: by key, else by name."""
    if isinstance(data, dict):
        keys = functional_of(model).input
        names = sorted(keys) if isinstance(keys, dict) else [tensor.name for tensor in model.inputs]
        missing = [name for name in names if name not in data]
        if missing:
            raise ValueError(
                f"The examples have no {', '.join(map(repr, missing))}, only "
                f"{', '.join(map(repr, data))}: give an array for each input of model "
                f"'{model.name}', {', '.join(map(repr, names))}."
            )
        data = [data[name] for name in names]
    return [np.asarray(values) for values in keras.tree.flatten(data)]
