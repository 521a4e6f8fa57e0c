"""The script as its user runs it: help, a small run to the end, and user errors in one line."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "train_cascade.py"


def _python(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def _run(*flags):
    return _python(SCRIPT, *flags)


def test_a_small_run(tmp_path):
    pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    result = _run(
        "--dataset=digits",
        "--model=vgg16",
        "--width=0.125",
        "--max_train_examples=256",
        "--teacher_epochs=1",
        "--epochs=2",
        "--recover_epochs=1",
        "--levels=0.3,0.6",
        "--batch_size=64",
        "--min_channels=1",
        "--seed=3",
        f"--output_dir={tmp_path}",
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {
        "results.json",
        "accuracy_macs.png",
        "student.keras",
        "student.tflite",
        "student_saved_model",
        "teacher.keras",
    }
    results = json.loads((tmp_path / "results.json").read_text())
    rows = {row["name"]: row for row in results["rows"]}
    assert list(rows) == ["original", "teacher", "ta1", "student", "l1_finetuned"]
    assert rows["student"]["macs"] == pytest.approx(0.4 * rows["teacher"]["macs"], rel=0.03)
    assert rows["student"]["seed"] == 3
    assert results["configuration"]["levels"] == ["0.3", "0.6"]
    assert max(results["differences"].values()) < 1e-4
    assert "teacher, epoch 1/1" in result.stdout and "recovery, epoch 1/1" in result.stdout
    assert f"{rows['student']['accuracy']:.2%}" in result.stdout


def test_help_is_readable():
    result = _run("--help")
    assert "Trains a teacher-assistants-student cascade" in result.stdout
    for flag in ("model", "dataset", "teacher_epochs", "recover_epochs", "levels", "round_to"):
        assert f"--{flag}:" in result.stdout or f"--[no]{flag}" in result.stdout


USER_ERRORS = [
    (["--model=resnet21"], "Unknown model 'resnet21'. Did you mean"),
    (["--levels=0.5,0.3"], "strictly increasing"),
    (["--optimizer=sdg"], "sdg"),
    (["--levels=half"], "--levels must be numbers"),
    (["--levels=0.5,0.999"], "cannot be removed"),
    (["--teacher=nowhere.keras"], "no such file"),
    (["--output_dir=/proc/nowhere"], "Cannot write to the output folder"),
    (["left", "over"], "Unexpected argument 'left'"),
]

# Runs the script once for each list of flags, and prints what each run ended with and wrote.
SEVERAL_RUNS = """
import contextlib, io, json, pathlib, sys
script, runs = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
sys.path.insert(0, str(script.parent))
import train_cascade
from absl.testing import flagsaver
for flags in runs:
    sys.argv = [str(script), *flags]
    code, errors = None, io.StringIO()
    with flagsaver.flagsaver(), contextlib.redirect_stderr(errors):
        try:
            train_cascade.run()
        except SystemExit as stopped:
            code = stopped.code
    print(json.dumps([code, errors.getvalue()]))
"""


def test_user_errors_are_one_line(tmp_path):
    # One process for all of them: starting TensorFlow takes longer than the errors.
    common = ["--max_train_examples=64", "--epochs=1", f"--output_dir={tmp_path}"]
    runs = [[*common, *flags] for flags, _ in USER_ERRORS]
    result = _python("-c", SEVERAL_RUNS, SCRIPT, json.dumps(runs))
    assert result.returncode == 0 and result.stderr == "", result.stderr
    outcomes = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(outcomes) == len(USER_ERRORS)
    for (flags, message), (code, errors) in zip(USER_ERRORS, outcomes, strict=True):
        assert code == 2 and message in errors, (flags, code, errors)
        assert "Traceback" not in errors and len(errors.splitlines()) == 1, (flags, errors)
