"""What channels that are gone are worth on LiteRT: speed-ups beside MACs, params and bytes.

Each model of keras.applications is pruned in one shot to so many of its MACs and rounded to
multiples of so many channels, written as float32 and int8 LiteRT files, and timed on XNNPACK with
one and two threads. All files of one model, precision and number of threads take turns, so that
speed-ups hold on a machine whose speed drifts; before each timed run come up to five untimed ones,
so that a file finds the caches as when it runs by itself. Beside it stands TF-MOT's model with as
many non-zero params as the pruned one has params: a file as large, with zeros in it.

"Reached" is the speed-up over the MACs' ratio: 1 says that time falls as MACs do. Last come models
that `prune_to_latency` made for so many milliseconds of float32 on one thread, measured again
among the others. Weights are random and nothing is trained: what is measured does not depend on
them.

    python benchmarks/latency.py --models=MobileNetV2 --output=benchmarks/latency_MobileNetV2.json
"""

import gc
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))
import quiet_start  # isort: skip  # noqa: E402, F401

import keras  # noqa: E402
import numpy as np  # noqa: E402
from absl import app, flags, logging  # noqa: E402

import keras_cascade as kc  # noqa: E402
from keras_cascade import report  # noqa: E402
from keras_cascade.deploy import measure_latency, measure_memory, write_litert  # noqa: E402
from keras_cascade.models import build_model  # noqa: E402
from keras_cascade.profile import gzipped_bytes  # noqa: E402
from keras_cascade.table import text_table  # noqa: E402
from keras_cascade_command import quiet_stderr  # noqa: E402

PREFIX = "keras.applications."
flags.DEFINE_list(
    "models", ["VGG16", "ResNet50", "MobileNetV2", "EfficientNetB0"], "Of keras.applications."
)
flags.DEFINE_list("amounts", ["0.25", "0.5", "0.75"], "Fractions of the MACs to remove.")
flags.DEFINE_list("round_to", ["1", "4", "8", "16"], "Kept channels are a multiple of this.")
flags.DEFINE_list("threads", ["1", "2"], "Threads that LiteRT may use.")
flags.DEFINE_list("precisions", ["float32", "int8"], "Of the LiteRT files.")
flags.DEFINE_boolean("weight_pruning", True, "Whether TF-MOT's models take part.")
flags.DEFINE_list("targets", ["0.7", "0.4"], "Fractions of the whole model's milliseconds to meet.")
flags.DEFINE_integer("image_size", 224, "Height and width of an image.")
flags.DEFINE_integer("runs", 20, "Timed runs of each file.", lower_bound=1)
flags.DEFINE_string("output", None, "Where to write the figures as JSON.")

FLAGS = flags.FLAGS
CONFIGURATION = ("image_size", "runs")


def main(_):
    rows, unmet = [], []
    for name in FLAGS.models:
        rows += _measured(name, unmet)
    print(_table(rows))
    for target in unmet:
        print(f"{target['model']}, {target['amount']:.0%} of the time: {target['why']}")
    if FLAGS.output:
        report.write_json(
            FLAGS.output,
            {
                "rows": rows,
                "unmet_targets": unmet,
                "configuration": {flag: FLAGS[flag].value for flag in CONFIGURATION}
                | {"settled": True},
                "versions": report.versions(),
            },
        )


def _measured(name, unmet):
    """The rows of one model: dicts, one for each file and number of threads.

    Targets that the model cannot meet are appended to `unmet`, with the reason.
    """
    size = FLAGS.image_size
    model = build_model(PREFIX + name, (size, size, 3), 1000, seed=0)
    facts, rows = {"whole": _facts(model)}, []
    with tempfile.TemporaryDirectory() as folder:
        files = {"whole": _files(model, folder, "whole")}
        for key, small in _variants(model, files["whole"]["float32"], folder, unmet):
            facts[key], files[key] = _facts(small), _files(small, folder, "_".join(map(str, key)))
            logging.info("%s: %s written", name, key)
            gc.collect()  # models hold on to themselves, and VGG16 has half a gigabyte
        for precision in FLAGS.precisions:
            paths = {key: written[precision] for key, written in files.items()}
            memory = {key: measure_memory(path) for key, path in paths.items()}
            gzipped = {key: gzipped_bytes(path) for key, path in paths.items()}
            for threads in map(int, FLAGS.threads):
                found = measure_latency(paths, threads=threads, runs=FLAGS.runs, warmup=3)
                logging.info("%s: %s on %d threads measured", name, precision, threads)
                for key, path in paths.items():
                    rows.append(
                        {
                            "model": name,
                            "variant": "whole" if key == "whole" else key[0],
                            "amount": None if key == "whole" else key[1],
                            "round_to": None if key == "whole" else key[2],
                            "precision": precision,
                            "threads": threads,
                            **facts[key],
                            "macs_ratio": facts["whole"]["macs"] / facts[key]["macs"],
                            "bytes": path.stat().st_size,
                            "gzipped_bytes": gzipped[key],
                            "memory_bytes": memory[key],
                            "median_ms": found[key].median_ms,
                            "p10_ms": found[key].p10_ms,
                            "p90_ms": found[key].p90_ms,
                            "speedup": found["whole"].median_ms / found[key].median_ms,
                        }
                    )
    return rows


def _variants(model, file, folder, unmet):
    """The models made smaller, each with its kind, amount (or target) and rounding."""
    whole = kc.profile(model).params
    for amount in map(float, FLAGS.amounts):
        for round_to in map(int, FLAGS.round_to):
            small = kc.prune(model, amount, round_to=round_to, min_channels=round_to, verify=False)
            yield ("channels", amount, round_to), small
        if FLAGS.weight_pruning:
            kept = kc.profile(small).params / whole
            yield ("weights", amount, round_to), _with_zeros(model, 1.0 - kept)
    milliseconds = measure_latency({"whole": file})["whole"].median_ms
    for target in map(float, FLAGS.targets):
        cache = pathlib.Path(folder, "latency.json")
        try:
            with quiet_stderr():
                small, _, _ = kc.prune_to_latency(
                    model, target * milliseconds, round_to=8, min_channels=8, cache=cache
                )
        except ValueError as error:
            logging.warning("%s, %.0f%% of the time: %s", model.name, 100 * target, error)
            unmet.append({"model": model.name, "amount": target, "why": str(error)})
        else:
            yield ("target", target, 8), small


def _with_zeros(model, share):
    """TF-MOT's model after three steps on noise: where zeros are does not matter to a kernel."""
    random = np.random.default_rng(0)
    x = random.standard_normal((3, *model.input_shape[1:])).astype("float32")
    return kc.prune_weights(
        model,
        share,
        data=(x, np.arange(3)),
        batch_size=1,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        verbose=0,
    )


def _facts(model):
    found = kc.profile(model)
    return {"params": found.params, "nonzero_params": found.nonzero_params, "macs": found.macs}


def _files(model, folder, name):
    """Paths by precision."""
    paths = {}
    for precision in FLAGS.precisions:
        paths[precision] = pathlib.Path(folder, f"{name}_{precision}.tflite")
        with quiet_stderr():
            write_litert(model, paths[precision], None if precision == "float32" else precision)
    return paths


def _table(rows):
    header = ["model", "variant", "amount", "round to", "precision", "threads", "ms", "MACs ratio"]
    header += ["speed-up", "reached", "MB", "memory"]
    return text_table(
        header,
        [
            [
                row["model"],
                row["variant"],
                "-" if row["amount"] is None else f"{row['amount']:.0%}",
                row["round_to"] or "-",
                row["precision"],
                row["threads"],
                f"{row['median_ms']:.1f}",
                f"{row['macs_ratio']:.2f}",
                f"{row['speedup']:.2f}",
                f"{row['speedup'] / row['macs_ratio']:.2f}",
                f"{row['bytes'] / 1e6:.1f}",
                f"{row['memory_bytes'] / 1e6:.0f}",
            ]
            for row in rows
        ],
    )


if __name__ == "__main__":
    app.run(main)
