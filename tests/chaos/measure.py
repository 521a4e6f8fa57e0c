"""Kills runs, gives bad inputs, compares replicas and backends; writes docs/reliability.md.

python tests/chaos/measure.py --kills=30 --output=docs/reliability
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "tests")]
import quiet_start  # isort: skip  # noqa: E402, F401

import random  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

from absl import app, flags  # noqa: E402
from chaos import bad_inputs, differences, kills, reliability_page  # noqa: E402

from keras_cascade import report  # noqa: E402

flags.DEFINE_integer("kills", 30, "How many SIGKILLs.")
flags.DEFINE_integer("seed", 0, "Of the points at which they come.")
flags.DEFINE_string("output", "docs/reliability", "Where to write: NAME.json and NAME.md.")

FLAGS = flags.FLAGS


def main(_):
    output = pathlib.Path(FLAGS.output)
    report.writable_folder(output.parent)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        results = _results(pathlib.Path(folder))
    results["minutes"] = round((time.monotonic() - began) / 60)
    report.write_json(output.with_suffix(".json"), results)
    output.with_suffix(".md").write_text(reliability_page.page(results, f"{output.name}.json"))
    problems = reliability_page.problems(results)
    print(f"{output.with_suffix('.md')}: {'; '.join(problems) or 'nothing was lost'}.")
    if problems:
        sys.exit(1)


def _results(folder):
    expected = folder / "expected.npz"
    say("A run that nobody kills ...")
    kills.finished(folder / "whole", expected)
    randomly = random.Random(FLAGS.seed)
    killed = kills.killed_runs(FLAGS.kills, randomly, folder, expected, say)
    say("A disk that is full ...")
    full = kills.full_disk(folder, expected)
    inputs = folder / "inputs"
    inputs.mkdir()
    answers = bad_inputs.answers(inputs, say)
    say("Replicas and backends ...")
    return {
        "seed": FLAGS.seed,
        "killed": killed,
        "full_disk": full,
        "bad_inputs": answers,
        "differences": differences.measured(folder, say),
        "versions": report.versions(),
    }


def say(line):
    print(line, flush=True)


if __name__ == "__main__":
    app.run(main)
