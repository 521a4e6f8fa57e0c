"""Trains a cascade in several processes, on one machine or more, and writes the small model.

It runs on JAX. Every process is given the same command but for --process_id; the first, 0, prints
and writes. On one machine, to try it out:

    python examples/train_on_machines.py --coordinator=localhost:12345 --processes=2 \\
        --process_id=1 &
    python examples/train_on_machines.py --coordinator=localhost:12345 --processes=2 --process_id=0

docs/machines.md says more.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import quiet_start  # isort: skip  # noqa: F401

import time

import keras
from absl import flags

from keras_cascade import data, models, recipe, report
from keras_cascade.cli import commands, user_errors
from keras_cascade.data.sources import has_tensorflow
from keras_cascade.deploy import write_keras
from keras_cascade.surgery import copy_model
from keras_cascade.table import text_table

flags.DEFINE_string("coordinator", None, "host:port of process 0; the port must be free there.")
flags.DEFINE_integer("processes", 1, "How many processes train together.", lower_bound=1)
flags.DEFINE_integer("process_id", 0, "The number of this one, from 0.", lower_bound=0)
flags.DEFINE_string("model", "resnet20", "As for train_cascade.py.")
flags.DEFINE_float("width", 0.5, "Multiplies every layer's filters.")
flags.DEFINE_string("dataset", "digits", "digits (embedded), or a TFDS name.")
flags.DEFINE_string("data_dir", None, "Where TFDS keeps its data sets, on every machine.")
flags.DEFINE_integer("max_train_examples", None, "Use only so many training images.")
flags.DEFINE_integer("batch_size", 64, "Images a step, of all processes together.")
flags.DEFINE_integer("teacher_epochs", 60, "Epochs of the teacher alone.")
flags.DEFINE_integer("epochs", 25, "Epochs of the cascade.")
flags.DEFINE_integer("recover_epochs", 15, "Epochs of the extracted student alone.")
flags.DEFINE_list("levels", ["0.25", "0.5", "0.75"], "Fractions of the MACs to remove.")
flags.DEFINE_integer("seed", 0, "Of weights, data order and augmentation.")
flags.DEFINE_string("output_dir", "runs/machines", "Where process 0 writes.")

FLAGS = flags.FLAGS


def main():
    settings = _settings()
    is_first = FLAGS.process_id == 0
    output_dir = report.writable_folder(FLAGS.output_dir) if is_first else None
    started = time.monotonic()
    _join()
    keras.utils.set_random_seed(FLAGS.seed)
    images = data.load(
        FLAGS.dataset,
        batch_size=FLAGS.batch_size,
        data_dir=FLAGS.data_dir,
        max_train_examples=FLAGS.max_train_examples,
        seed=FLAGS.seed,
        replicas=len(keras.distribution.list_devices()),
        process=FLAGS.process_id,
        processes=FLAGS.processes,
    )
    # All processes do all of this: one that left something out would keep the others waiting.
    original, student, rows, history = _trained(images, settings, show_progress=is_first)
    if is_first:
        write_keras(original, output_dir / "teacher.keras")
        write_keras(student, output_dir / "student.keras")
        key_flags = FLAGS.get_key_flags_for_module(__name__)
        results = {
            "rows": rows,
            "history": history,
            "command": commands.command_line(),
            "seconds": round(time.monotonic() - started, 1),
            "configuration": {flag.name: flag.value for flag in key_flags},
            "versions": report.versions(),
        }
        report.write_json(output_dir / report.RESULTS, results)
        written = "teacher.keras, student.keras and results.json"
        print(f"\n{_table(rows)}\n\nWrote {written} to {output_dir}.")


def _settings():
    if keras.backend.backend() != "jax":
        raise ValueError(
            f"KERAS_BACKEND={keras.backend.backend()}: Keras trains in several processes on jax "
            "only. Leave KERAS_BACKEND unset, or set it to jax."
        )
    host, _, port = (FLAGS.coordinator or "").rpartition(":")
    if FLAGS.processes > 1 and not (host and port.isdecimal()):
        raise ValueError("--coordinator=host:port, of process 0, is needed to find one another.")
    if FLAGS.processes > 1 and not has_tensorflow():
        raise ImportError(
            "TensorFlow is not installed, which divides the data among several processes (Keras "
            "stays on jax): pip install tensorflow, or leave out --processes."
        )
    if FLAGS.process_id >= FLAGS.processes:
        raise ValueError(
            f"--process_id={FLAGS.process_id}: --processes={FLAGS.processes} are numbered from 0."
        )
    try:
        levels = tuple(float(level) for level in FLAGS.levels)
    except ValueError:
        raise ValueError(
            f"--levels must be numbers such as 0.5,0.75, got {FLAGS.levels}."
        ) from None
    return recipe.Settings(
        teacher_epochs=FLAGS.teacher_epochs,
        epochs=FLAGS.epochs,
        recover_epochs=FLAGS.recover_epochs,
        levels=levels,
        learning_rate=0.1,
        prune_learning_rate=0.05,
        seed=FLAGS.seed,
    )


def _join():
    """Waits for the other processes; from then on every array is one of all of them."""
    if FLAGS.processes > 1:
        keras.distribution.initialize(FLAGS.coordinator, FLAGS.processes, FLAGS.process_id)
    # Keras can divide data by itself, but only data sets whose batches are all of one known size.
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))


def _trained(images, settings, show_progress):
    """Trains and evaluates; returns teacher, student, the table's rows, the cascade's logs."""

    def progress(title):
        shown = ["loss", "accuracy", "teacher_accuracy", "val_accuracy"]
        return [report.EpochProgress(title, shown)] if show_progress else []

    model = models.build_model(
        FLAGS.model, images.input_shape, images.classes, width=FLAGS.width, seed=FLAGS.seed
    )
    recipe.make_cascade(copy_model(model), settings)  # what it refuses, before hours of training
    recipe.train_teacher(model, images, settings, progress("teacher"))
    original = copy_model(model)
    cascade, history = recipe.train_cascade(model, images, settings, progress("cascade"))
    student = cascade.extract()
    if settings.recover_epochs:
        recipe.recover(
            student, original, images, settings, settings.recover_epochs, progress("recovery")
        )
    rows = [
        recipe.evaluate(name, each, images, FLAGS.seed)
        for name, each in (("original", original), ("student", student))
    ]
    return original, student, rows, history


def _table(rows):
    return text_table(
        ["model", "accuracy", "params", "MACs"],
        [
            [row["name"], f"{row['accuracy']:.2%}", f"{row['params']:,}", f"{row['macs']:,}"]
            for row in rows
        ],
    )


def run():
    """Runs `main`; what a person can put right is one line and exit code 2."""
    user_errors.run(main)


if __name__ == "__main__":
    run()
