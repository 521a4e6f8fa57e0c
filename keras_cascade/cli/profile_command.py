"""Shows params, multiply-accumulates and bytes of models, and their latency where asked.

keras-cascade profile model.keras small.keras --latency
"""

import pathlib
import tempfile

import keras
from absl import flags

from keras_cascade.cli import files
from keras_cascade.deploy import measure_latency, write_litert
from keras_cascade.table import text_table
from keras_cascade_command import quiet_stderr

flags.DEFINE_bool("latency", False, "Time the models on LiteRT, in turns, batch 1.")
flags.DEFINE_integer("threads", 1, "Threads that each may use.", lower_bound=1)
flags.DEFINE_integer("runs", 50, "Timed runs of each.", lower_bound=1)
flags.adopt_module_key_flags(files)

FLAGS = flags.FLAGS
_WARMUP = 10
ARGUMENTS = ["MODEL.keras..."]


def main(*paths):
    """Prints sizes, and latencies where asked."""
    models = [files.load_model(path) for path in paths]
    header = ["model", *files.SIZES]
    rows = [[path, *files.sizes(model)] for path, model in zip(paths, models, strict=True)]
    if FLAGS.latency:
        header += ["median ms", "p10", "p90"]
        for row, found in zip(rows, _latencies(models), strict=True):
            row += [f"{found.median_ms:.2f}", f"{found.p10_ms:.2f}", f"{found.p90_ms:.2f}"]
    print(text_table(header, rows))


def _latencies(models):
    with tempfile.TemporaryDirectory() as folder, quiet_stderr():
        paths = {}
        bar = keras.utils.Progbar(len(models) + _WARMUP + FLAGS.runs)
        for number, model in enumerate(models):
            paths[number] = pathlib.Path(folder, f"{number}.tflite")
            write_litert(model, paths[number])
            bar.add(1)
        found = measure_latency(
            paths,
            threads=FLAGS.threads,
            runs=FLAGS.runs,
            warmup=_WARMUP,
            progress=lambda done: bar.update(len(models) + done),
        )
        return found.values()
