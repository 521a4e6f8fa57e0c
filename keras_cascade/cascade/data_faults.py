"""Faults in the data of a run: found before it where they can be, else named where they show.

Keras takes an empty data set for a finished one, says of missing labels that None is no tensor, and
passes on TensorFlow's account of a pipeline that failed without saying where in training it was.
"""

import contextlib
import re

import keras
from keras import tree

_OUTSIDE_MESSAGE = re.compile(
    r"\s*$|\s*\[\[|\s+File |Graph execution error|Detected at|<stack traces|Traceback"
    r"|\d+ root error"
)
_BEFORE_MESSAGE = re.compile(r"^\{\{\S+ \S+\}\} |^\s*\(\d+\) [A-Z_ ]+: +")


class DataError(RuntimeError):
    """The data failed while it was read; the error it failed with is this one's cause."""


def check(x, y, purpose):
    """Refuses data that is known, before it is gone through, to hold nothing or no labels.

    Args:
        x, y: as `fit` takes them.
        purpose: what the data is for, one word: "training".

    Raises:
        ValueError: no example, or no labels.
    """
    if _known_size(x) == 0:
        raise ValueError(empty(purpose))
    spec = getattr(x, "element_spec", None)  # of a tf.data.Dataset
    if (y is None and _is_arrays(x)) or (spec is not None and not _is_pair(spec)):
        raise ValueError(no_labels(purpose))


def check_validation(data):
    """As `check`, of what `fit` takes as `validation_data`; None is in order."""
    if data is not None:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        check(x, y, "validation")


def empty(purpose):
    """What is wrong with data that gave no batch, and what to do."""
    return (
        f"The {purpose} data is empty: it gave no batch. Look at what filters it and at its paths; "
        "a generator that was gone through before gives nothing more."
    )


def no_labels(purpose):
    """What is wrong with data without labels, and what to do."""
    return (
        f"The {purpose} data has no labels, and the loss needs them: pass x and y, or batches "
        "(x, y)."
    )


@contextlib.contextmanager
def named(where, kept="states that a TrainingBackup wrote before are whole"):
    """Within it, a tf.data pipeline that fails does so as a `DataError` that says where.

    Args:
        where: function that returns, in words, how far the run had come.
        kept: what is not lost, in words.

    Raises:
        DataError: from the error of the pipeline.
    """
    try:
        yield
    except Exception as error:
        if not _is_of_pipeline(error):
            raise
        raise DataError(
            f"The data failed {where()}: {_cause(error)}. Mend or leave out what it could not "
            f"read, and run again; {kept}."
        ) from error


def waiting_for(batch):
    """A scope in which nothing is done before a batch is there.

    What does not read the batch (weight decay, the moving average of saliency) TensorFlow would do
    while it waits; where the data set then fails, or ends, half a step more is taken than it has.
    """
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    parts = tf.nest.flatten(batch, expand_composites=True)
    return tf.control_dependencies([part for part in parts if part is not None])


def _is_of_pipeline(error):
    """Whether TensorFlow failed in taking the next batch; nothing else names that operation."""
    of_tensorflow = type(error).__module__.startswith("tensorflow.")
    return of_tensorflow and "IteratorGetNext" in str(error)


def _cause(error):
    """What the pipeline said itself, out of all that TensorFlow says around it."""
    lines = [_BEFORE_MESSAGE.sub("", line) for line in str(error).splitlines()]
    said = [line.strip() for line in lines if not _OUTSIDE_MESSAGE.match(line)]
    return said[0].rstrip(".") if said else type(error).__name__


def _known_size(x):
    """How many examples or batches there are; None where only going through them tells."""
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches
    if _is_arrays(x):
        return min(array.shape[0] for array in tree.flatten(x))
    cardinality = getattr(x, "cardinality", None)
    return int(cardinality()) if callable(cardinality) else None


def _is_arrays(x):
    leaves = tree.flatten(x)
    return bool(leaves) and all(getattr(leaf, "shape", ()) for leaf in leaves)


def _is_pair(spec):
    return isinstance(spec, tuple) and len(spec) > 1
