"""Checks every model of keras.applications, each in a process of its own, and writes the page.

    python tests/zoo/sweep.py --output=docs/coverage
    python tests/zoo/sweep.py --models=VGG16,NASNetLarge

Each finished row goes into OUTPUT.json at once. A sweep that was broken off goes on where it
stopped, one with failures tries those again, and one after a change of the code starts anew.
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "tests")]
import quiet_start  # isort: skip  # noqa: E402, F401

import datetime  # noqa: E402
import json  # noqa: E402
import resource  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

from absl import app, flags  # noqa: E402
from zoo import checking, coverage_page  # noqa: E402

from keras_cascade import report  # noqa: E402

flags.DEFINE_list("models", None, "Models to check; default: those without a good row, or all.")
flags.DEFINE_string("output", "docs/coverage", "Where to write: NAME.json and NAME.md.")
flags.DEFINE_float("min_share", 0.95, "Least share of convolution filters in prunable groups.")
flags.DEFINE_string("worker", None, "Check this one model and write its row to --row.")
flags.DEFINE_string("row", None, "Where --worker writes.")

FLAGS = flags.FLAGS
SHOWN_VERSIONS = ("keras", "tensorflow", "numpy", "python", "keras_cascade")


def main(_):
    if FLAGS.worker:
        _check_here(FLAGS.worker, FLAGS.row)
    else:
        _check_all()


def _check_all():
    names = list(checking.constructors())
    unknown = set(FLAGS.models or ()) - set(names)
    if unknown:
        print(f"sweep: no such models: {sorted(unknown)}; known: {names}", file=sys.stderr)
        sys.exit(2)
    output = pathlib.Path(FLAGS.output)
    report.writable_folder(output.parent)
    results = _continued(output.with_suffix(".json"))
    _sweep(FLAGS.models or coverage_page.pending(names, results["rows"]), results, output)
    rows = {name: results["rows"][name] for name in names if name in results["rows"]}
    shown = {package: results["versions"][package] for package in SHOWN_VERSIONS}
    text = coverage_page.page(rows, results["date"], shown, f"{output.name}.json")
    output.with_suffix(".md").write_text(text)
    failed = [name for name, row in rows.items() if row["problems"]]
    missing = [name for name in names if name not in rows]
    print(
        f"{output.with_suffix('.md')}: {len(rows) - len(failed)} of {len(names)} models are good."
    )
    if missing:
        print(f"Not checked yet: {len(missing)}; without --models the next run does them.")
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
        sys.exit(1)


def _continued(path):
    """The results of an earlier run of the same code and versions, or empty ones."""
    made_with = {"versions": report.versions(), "sources": coverage_page.sources()}
    if path.exists():
        earlier = json.loads(path.read_text())
        if {key: earlier.get(key) for key in made_with} == made_with:
            return earlier
    return {"date": None, **made_with, "rows": {}}


def _sweep(names, results, output):
    started = time.perf_counter()
    for index, name in enumerate(names):
        print(f"[{index + 1:2}/{len(names)}] {name} ... ", end="", flush=True)
        row = _check_in_process(name)
        results["rows"][name] = row
        results["date"] = datetime.date.today().isoformat()
        report.write_json(output.with_suffix(".json"), results)
        left = (time.perf_counter() - started) / (index + 1) * (len(names) - index - 1)
        verdict = f"FAILED: {'; '.join(row['problems'])}" if row["problems"] else "good"
        print(f"{verdict} ({row['seconds']:.0f} s; about {left / 60:.0f} min left)", flush=True)


def _check_in_process(name):
    """The row of a model, checked in a process whose memory goes back to the system."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "row.json"
        command = [sys.executable, __file__, f"--worker={name}", f"--row={path}"]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode == 0:
            row = json.loads(path.read_text())
            return {**row, "problems": checking.problems(row, FLAGS.min_share)}
    last_line = (done.stderr.strip().splitlines() or ["no message"])[-1]
    problem = f"exit status {done.returncode}: {last_line}"
    return {"problems": [problem], "seconds": time.perf_counter() - started}


def _check_here(name, path):
    with tempfile.TemporaryDirectory() as folder:
        row = checking.check_model(checking.build(name), folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux
    report.write_json(path, {**row, "peak_mib": peak // 1024})


if __name__ == "__main__":
    app.run(main)
