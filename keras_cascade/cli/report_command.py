"""Writes one HTML page of what `train` or `compare` left in a folder; it needs nothing but itself.

Of a run: the cascade's curves, the channels kept, saliency, accuracy against MACs, sizes, latency
where it was measured, and what ran. Of a comparison: the report that `compare` wrote, again.

keras-cascade report runs/cascade --latency
"""

import dataclasses
import json
import pathlib
import tempfile

import keras
from absl import flags

from keras_cascade import report
from keras_cascade.cli import files
from keras_cascade.deploy import measure_latency, write_litert
from keras_cascade.study import Records
from keras_cascade_command import quiet_stderr

_WARMUP = 10
_ROWS = "results.jsonl"

flags.DEFINE_string("output", None, "Where the page is written; default: RUN_FOLDER/report.html.")
flags.DEFINE_bool(
    "latency",
    False,
    "Time the original and the student on LiteRT, in turns, batch 1. What was measured stays in "
    "RUN_FOLDER/latency.json and is shown from then on.",
)
flags.DEFINE_integer("threads", 1, "Threads that each may use.", lower_bound=1)
flags.DEFINE_integer("runs", 50, "Timed runs of each.", lower_bound=1)
flags.adopt_module_key_flags(files)

FLAGS = flags.FLAGS
ARGUMENTS = ["RUN_FOLDER"]


def main(folder):
    """Writes the page, after measuring latency where that is asked."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder '{folder}'.")
    path = pathlib.Path(FLAGS.output or folder / "report.html")
    report.writable_folder(path.parent)
    if (folder / report.RESULTS).is_file():
        _report_run(folder, path)
    elif (folder / _ROWS).is_file():
        _report_study(folder, path)
    else:
        unfinished = (folder / "backup").is_dir()
        raise ValueError(
            f"'{folder}' holds neither {report.RESULTS} of train nor {_ROWS} of compare. "
            + (
                "Its run was broken off: give the same train command again, which ends with a page."
                if unfinished
                else "Say the --output_dir of a run that has ended."
            )
        )
    print(f"The report: {path}")


def _report_run(folder, path):
    run = report.read_run(folder)
    if FLAGS.latency and not _is_measured(run["latency"]):
        _measure(folder, run)
    report.write_run_report(folder, path)


def _is_measured(found):
    wanted = {"threads": FLAGS.threads, "runs": FLAGS.runs}
    return found is not None and wanted.items() <= found.items()


def _measure(folder, run):
    """Times the student against the original and keeps what was found in the folder."""
    if keras.backend.backend() == "torch":
        raise ValueError("--latency: Keras on PyTorch writes no LiteRT; set KERAS_BACKEND.")
    given = run.get("configuration", {}).get("teacher")
    paths = {
        "original": pathlib.Path(given or folder / "teacher.keras"),
        "student": folder / "student.keras",
    }
    models = {name: files.load_model(path) for name, path in paths.items()}
    with tempfile.TemporaryDirectory() as temporary, quiet_stderr():
        converted = {}
        for number, (name, model) in enumerate(models.items(), 1):
            print(f"Converting the {name} to LiteRT ({number} of {len(models)}).", flush=True)
            converted[name] = pathlib.Path(temporary, f"{name}.tflite")
            write_litert(model, converted[name])
        print("Timing them.", flush=True)
        found = measure_latency(
            converted,
            threads=FLAGS.threads,
            runs=FLAGS.runs,
            warmup=_WARMUP,
            progress=keras.utils.Progbar(_WARMUP + FLAGS.runs).update,
        )
    content = {
        "student_sha256": report.sha256_of(paths["student"]),
        "threads": FLAGS.threads,
        "runs": FLAGS.runs,
        "versions": report.versions(),
        "models": {name: dataclasses.asdict(latency) for name, latency in found.items()},
    }
    report.write_json(folder / report.LATENCY, content)


def _report_study(folder, path):
    if FLAGS.latency:
        raise ValueError("--latency is for what train wrote; compare measures it in every cell.")
    records = Records(folder / _ROWS)
    for sentence in records.damaged:
        print(sentence)
    texts = _texts(folder, records.rows)
    report.write_study_report(records.rows, folder, **texts)
    if path != folder / "report.html":
        report.write_study_page(records.rows, path, **texts)


def _texts(folder, rows):
    """Title and command as compare kept them; of a folder older than that, what the rows say."""
    path = folder / report.STUDY
    if path.is_file():
        try:
            return {key: str(text) for key, text in json.loads(path.read_text()).items()}
        except ValueError as error:
            raise ValueError(
                f"'{path}' is damaged: {error}. Delete it to go on without."
            ) from error
    models, sets = (
        ", ".join(dict.fromkeys(row[key] for row in rows)) for key in ("model", "dataset")
    )
    return {"title": f"Pruning compared: {models} on {sets}", "command": "(not recorded)"}
