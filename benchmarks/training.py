"""Seconds of a training step: a cascade with 1, 2 and 3 levels against plain fit of the model.

All contestants take turns, several times, so that their ratio holds on a machine whose speed
drifts. The floor is the work the levels need at least: every masked level runs the whole model,
so K levels cost K + 1 times plain fit. Writes a table and, with --output, JSON.

    python benchmarks/training.py --model=resnet20 --output=benchmarks/training.json
"""

import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))
import quiet_start  # isort: skip  # noqa: E402, F401

import keras  # noqa: E402
import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402

import keras_cascade as kc  # noqa: E402
from keras_cascade import report  # noqa: E402
from keras_cascade.models import build_model  # noqa: E402
from keras_cascade.table import text_table  # noqa: E402

flags.DEFINE_string("model", "resnet20", "A model of keras_cascade.models or keras.applications.")
flags.DEFINE_float("width", 1.0, "Multiplies every layer's filters.")
flags.DEFINE_integer("batch_size", 128, "Images a step.")
flags.DEFINE_integer("steps", 5, "Steps a turn.")
flags.DEFINE_integer("turns", 5, "Turns of each contestant.")
flags.DEFINE_string("output", None, "Where to write the figures as JSON.")

FLAGS = flags.FLAGS
LEVELS = {1: (0.75,), 2: (0.4, 0.75), 3: (0.25, 0.5, 0.75)}


def main(_):
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    count = FLAGS.batch_size * FLAGS.steps
    images = random.standard_normal((count, 32, 32, 3)).astype("float32")
    labels = random.integers(0, 10, count)
    trainers = {"plain fit": _compiled(_model())}
    for number, levels in LEVELS.items():
        trainers[f"cascade, K={number}"] = _compiled(kc.CascadeDistiller(_model(), levels))
    seconds = {name: [] for name in trainers}
    for turn in range(FLAGS.turns + 1):
        for name, trainer in trainers.items():
            started = time.perf_counter()
            trainer.fit(images, labels, batch_size=FLAGS.batch_size, verbose=0)
            if turn:  # the first turn traces and compiles
                seconds[name].append((time.perf_counter() - started) / FLAGS.steps)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    plain = medians["plain fit"]
    rows = [
        {
            "trainer": name,
            "seconds_a_step": median,
            "ratio_to_plain": median / plain,
            "floor": index + 1,
            "ratio_to_floor": median / plain / (index + 1),
        }
        for index, (name, median) in enumerate(medians.items())
    ]
    print(
        text_table(
            ["trainer", "s/step", "to plain fit", "floor", "above floor"],
            [
                [
                    r["trainer"],
                    f"{r['seconds_a_step']:.3f}",
                    f"{r['ratio_to_plain']:.2f}",
                    r["floor"],
                    f"{r['ratio_to_floor']:.2f}",
                ]
                for r in rows
            ],
        )
    )
    if FLAGS.output:
        configuration = {flag: FLAGS[flag].value for flag in ("model", "width", "batch_size")}
        report.write_json(
            FLAGS.output,
            {"rows": rows, "configuration": configuration, "versions": report.versions()},
        )


def _model():
    return build_model(FLAGS.model, (32, 32, 3), 10, width=FLAGS.width, seed=0)


def _compiled(trainer):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile(keras.optimizers.SGD(0.01), loss, metrics=["accuracy"], jit_compile=False)
    return trainer


if __name__ == "__main__":
    app.run(main)
