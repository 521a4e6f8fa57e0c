"""What short epochs on a TensorFlow CPU lose to tf.data's tuner, and to oneDNN being off.

Trains a narrow VGG16 for some epochs, each combination in a process of its own, and gives the
median epoch and its ratio to that with oneDNN and without the tuner. `data.load` goes without the
tuner; docs/troubleshooting.md says why nothing here turns oneDNN on.

    python benchmarks/short_epochs.py --output=benchmarks/short_epochs.json
"""

import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))
import quiet_start  # isort: skip  # noqa: E402, F401

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from absl import app, flags  # noqa: E402

from keras_cascade import report  # noqa: E402
from keras_cascade.data.autotune import untuned  # noqa: E402
from keras_cascade.models import build_model  # noqa: E402
from keras_cascade.table import text_table  # noqa: E402

flags.DEFINE_float("width", 0.25, "Of the VGG16.")
flags.DEFINE_integer("image_size", 16, "Height and width of an image.")
flags.DEFINE_integer("examples", 1280, "Images an epoch.")
flags.DEFINE_integer("batch_size", 64, "Images a step.")
flags.DEFINE_integer("epochs", 9, "Timed, after one that is not.")
flags.DEFINE_string("output", None, "Where to write the figures as JSON.")
flags.DEFINE_enum("measure", None, ["tuned", "untuned"], "Of one process: time this, print it.")

FLAGS = flags.FLAGS
CONFIGURATION = ("width", "image_size", "examples", "batch_size", "epochs")
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def main(_):
    if FLAGS.measure:
        print(json.dumps(_seconds_an_epoch()))
        return
    rows = [_row(*each) for each in itertools.product((True, False), (False, True))]
    for row in rows:
        row["ratio"] = row["seconds_an_epoch"] / rows[0]["seconds_an_epoch"]
    header = list(rows[0])
    print(text_table(header, [[_shown(row[name]) for name in header] for row in rows]))
    if FLAGS.output:
        configuration = {flag: FLAGS[flag].value for flag in CONFIGURATION}
        content = {"rows": rows, "configuration": configuration, "versions": report.versions()}
        report.write_json(FLAGS.output, content)


def _row(onednn, tuner):
    found = subprocess.run(
        [sys.executable, *sys.argv, f"--measure={'tuned' if tuner else 'untuned'}"],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": str(int(onednn))},
        check=True,
        capture_output=True,
        text=True,
    )
    return {"oneDNN": onednn, "tuner": tuner, "seconds_an_epoch": json.loads(found.stdout)}


def _seconds_an_epoch():
    keras.utils.set_random_seed(0)
    shape = (FLAGS.image_size, FLAGS.image_size, 3)
    model = build_model("vgg16", shape, 10, width=FLAGS.width, seed=0)
    model.compile(keras.optimizers.SGD(0.01), LOSS, jit_compile=False)
    random = np.random.default_rng(0)
    images = random.standard_normal((FLAGS.examples, *shape)).astype("float32")
    labels = random.integers(0, 10, FLAGS.examples)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(FLAGS.batch_size)
    data = data if FLAGS.measure == "tuned" else untuned(data)
    times = []
    for _ in range(1 + FLAGS.epochs):
        started = time.monotonic()
        model.fit(data, verbose=0)
        times.append(time.monotonic() - started)
    return statistics.median(times[1:])


def _shown(value):
    return f"{value:.2f}" if isinstance(value, float) else str(value).lower()


if __name__ == "__main__":
    app.run(main)
