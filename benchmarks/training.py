"""Seconds and memory of a training step of the cascade, as ratios to plain fit of the model.

Each round starts every contestant once, in a process of its own and in turn, so that ratios hold
on a machine whose speed drifts and peak memory is the contestant's own. The contestants: plain fit
of the model; `keras.distillation.Distiller` with the model as the teacher and a student of the same
size; cascades of K levels, masked, and trained on slices as after `end`; and, for what slices can
gain at best on this processor, the extracted models of all levels by plain fit, one by one, their
seconds added up.

The *floor* is the work that cannot be avoided, over that of plain fit: a masked level runs the
whole model, a sliced one what is left of its MACs, and K levels come on top of the teacher's.
To see where a contestant's time goes: benchmarks/training_step.py --trace=FOLDER.

    python benchmarks/training.py --models=resnet20 --levels=1,3 --output=benchmarks/training.json
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))
import quiet_start  # isort: skip  # noqa: E402, F401

from absl import app, flags, logging  # noqa: E402

flags.DEFINE_list("models", ["resnet20", "vgg16"], "Models of keras_cascade.models.")
flags.DEFINE_list("backends", ["tensorflow", "jax"], "Keras backends.")
flags.DEFINE_list("levels", ["1", "2", "3"], "Numbers of levels K.")
flags.DEFINE_float("width", 1.0, "Multiplies every layer's filters.")
flags.DEFINE_integer("batch_size", 128, "Images a step.")
flags.DEFINE_integer("steps", 4, "Steps that are timed in a process, after two that are not.")
flags.DEFINE_integer("rounds", 3, "Processes of each contestant.")
flags.DEFINE_string("output", None, "Where to write the figures as JSON.")

FLAGS = flags.FLAGS
FRACTIONS = {1: (0.75,), 2: (0.4, 0.75), 3: (0.25, 0.5, 0.75)}
CONTESTANT = pathlib.Path(__file__).with_name("training_step.py")


def main(_):
    from keras_cascade import report
    from keras_cascade.table import text_table

    rows = []
    for backend in FLAGS.backends:
        for model in FLAGS.models:
            rows += _compared(backend, model)
    header = ["backend", "model", "trainer", "s/step", "to plain fit", "floor", "above floor"]
    header += ["memory", "traces"]
    cells = [
        [
            row["backend"],
            row["model"],
            row["trainer"],
            f"{row['seconds_a_step']:.3f}",
            f"{row['ratio']:.2f} ({row['ratio_min']:.2f}-{row['ratio_max']:.2f})",
            f"{row['floor']:.2f}",
            f"{row['ratio'] / row['floor']:.2f}",
            f"{row['memory_ratio']:.2f}",
            row["traces"],
        ]
        for row in rows
    ]
    print(text_table(header, cells))
    if FLAGS.output:
        names = ("width", "batch_size", "steps", "rounds")
        configuration = {name: FLAGS[name].value for name in names}
        report.write_json(
            FLAGS.output,
            {"rows": rows, "configuration": configuration, "versions": report.versions()},
        )


def _compared(backend, model):
    trainers = {"plain fit": {}, "keras Distiller": {"trainer": "keras"}}
    for number in map(int, FLAGS.levels):
        levels = ",".join(map(str, FRACTIONS[number]))
        trainers[f"cascade, K={number}"] = {"trainer": "cascade", "levels": levels}
        trainers[f"sliced, K={number}"] = {"trainer": "sliced", "levels": levels}
        trainers[f"apart, K={number}"] = {"trainer": "apart", "levels": levels}
    results = {name: [] for name in trainers}
    for number in range(FLAGS.rounds):
        for name, options in trainers.items():
            results[name].append(_measured(backend, {"model": model, **options}))
            logging.info("%s %s round %d: %s", backend, model, number, name)
    return [
        _row(backend, model, name, found, results["plain fit"]) for name, found in results.items()
    ]


def _row(backend, model, name, found, plain):
    """The medians of a contestant; ratios are taken within a round."""
    ratios = [
        one["seconds_a_step"] / base["seconds_a_step"]
        for one, base in zip(found, plain, strict=True)
    ]
    peaks = [one["peak_bytes"] / base["peak_bytes"] for one, base in zip(found, plain, strict=True)]
    return {
        "backend": backend,
        "model": model,
        "trainer": name,
        "seconds_a_step": statistics.median(one["seconds_a_step"] for one in found),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "floor": found[0]["floor"],
        "memory_ratio": statistics.median(peaks),
        "peak_bytes": statistics.median(one["peak_bytes"] for one in found),
        "traces": found[0]["traces"],
    }


def _measured(backend, options):
    common = {name: FLAGS[name].value for name in ("width", "batch_size", "steps")}
    arguments = [f"--{name}={value}" for name, value in {**common, **options}.items()]
    done = subprocess.run(
        [sys.executable, str(CONTESTANT), *arguments],
        env={**os.environ, "KERAS_BACKEND": backend},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    app.run(main)
