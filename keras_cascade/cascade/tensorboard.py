"""EventFiles: what TensorBoard shows of a run, every epoch once however often it was broken off.

The files are TensorFlow's own: records of `Event` messages. An epoch is one record, so that it is
there altogether or not at all. TensorFlow is a dependency of the package whatever Keras runs on;
it is imported here only when there is something to write, and what is used of it starts no device
that another backend may want.
"""

import os
import pathlib
import socket
import time

import numpy as np

_BINS = 30
_SUFFIX = ".keras_cascade"


class EventFiles:
    """The event files that a cascade writes to one folder; other writers' are left alone.

    Args:
        folder: what `tensorboard --logdir` is given; it is made where it is missing.
        first_step: the first step that will be written. What earlier runs wrote of it and of
            later ones is taken out: they are gone over anew.

    Raises:
        OSError: the folder cannot be written.

    Example:

    ```python
    files = EventFiles("runs/logs", first_step=0)
    files.write(0, {"loss": 0.3}, {"saliency/student": [-3.1, -2.5]})
    files.close()
    ```
    """

    def __init__(self, folder, first_step):
        self._folder = pathlib.Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob(f"events.out.tfevents.*{_SUFFIX}"):
            _forget_from(path, first_step)
        self._writer = None

    def write(self, step, scalars, histograms):
        """Writes one step.

        Args:
            step: int.
            scalars: dict from tag to float.
            histograms: dict from tag to an array of floats, of any length.

        Raises:
            OSError: it cannot be written.
        """
        from tensorflow import errors
        from tensorflow.compat import v1

        if self._writer is None:
            self._writer = self._new_file()
        values = [v1.Summary.Value(tag=tag, simple_value=one) for tag, one in scalars.items()]
        values += [
            v1.Summary.Value(tag=tag, histo=_histogram(np.asarray(many, float)))
            for tag, many in histograms.items()
            if len(many)
        ]
        summary = v1.Summary(value=values)
        event = v1.Event(wall_time=time.time(), step=step, summary=summary)
        try:
            self._writer.write(event.SerializeToString())
            self._writer.flush()
        except errors.OpError as error:
            raise OSError(
                f"Nothing more can be written to '{self._folder}': {error.message}. Make room, or "
                "train without log_dir."
            ) from error

    def close(self):
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _new_file(self):
        import tensorflow as tf

        # TensorBoard reads the files of a folder in the order of their names.
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}{_SUFFIX}"
        path = self._folder / name
        path.touch()  # where that fails it is an OSError that names the file
        writer = tf.io.TFRecordWriter(str(path))
        first = tf.compat.v1.Event(wall_time=time.time(), file_version="brain.Event:2")
        writer.write(first.SerializeToString())
        return writer


def _forget_from(path, step):
    """Takes the events from a step on out of a file, and what a killed writer left torn."""
    import tensorflow as tf

    kept, whole = [], True
    try:
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            if event.HasField("file_version") or event.step < step:
                kept.append(event.SerializeToString())
            else:
                whole = False
    except tf.errors.DataLossError:
        whole = False
    if whole:
        return
    temporary = path.with_name(f".{path.name}.tmp")
    with tf.io.TFRecordWriter(str(temporary)) as writer:
        for record in kept:
            writer.write(record)
    temporary.replace(path)


def _histogram(values):
    from tensorflow.compat import v1

    counts, edges = np.histogram(values, _BINS)
    return v1.HistogramProto(
        min=values.min(),
        max=values.max(),
        num=values.size,
        sum=values.sum(),
        sum_squares=np.square(values).sum(),
        bucket_limit=edges[1:],
        bucket=counts,
    )
