"""The script as its user runs it: help, a small run to the end, and user errors in one line."""

import json

import command_lines
import pytest
import running

SCRIPT = "train_cascade.py"


@pytest.mark.slow
def test_a_small_run(tmp_path):
    pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    result = running.run(
        SCRIPT,
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
        "--seed=0",
        f"--output_dir={tmp_path}",
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {
        "results.json",
        "report.html",
        "accuracy_macs.png",
        "student",
        "student.keras",
        "teacher.keras",
    }
    results = json.loads((tmp_path / "results.json").read_text())
    rows = {row["name"]: row for row in results["rows"]}
    assert list(rows) == ["original", "teacher", "ta1", "student", "l1_finetuned"]
    assert rows["student"]["macs"] == pytest.approx(0.4 * rows["teacher"]["macs"], rel=0.03)
    assert rows["student"]["seed"] == 0
    assert results["configuration"]["levels"] == ["0.3", "0.6"]
    assert max(results["differences"].values()) < 1e-4
    exported = {path.name for path in (tmp_path / "student").iterdir()}
    assert exported == {"saved_model", "model.tflite", "manifest.json"}
    assert "teacher, epoch 1/1" in result.stdout and "recovery, epoch 1/1" in result.stdout
    assert f"{rows['student']['accuracy']:.2%}" in result.stdout


@pytest.mark.slow
def test_help_is_readable():
    result = running.run(SCRIPT, "--help")
    assert "Trains a teacher-assistants-student cascade" in result.stdout
    for flag in (
        "model",
        "dataset",
        "teacher_epochs",
        "recover_epochs",
        "levels",
        "round_to",
        "freeze_teacher",
        "hard_masks",
        "strategy",
    ):
        assert f"--{flag}:" in result.stdout or f"--[no]{flag}" in result.stdout


USER_ERRORS = [
    (["--model=resnet21"], "Unknown model 'resnet21'. Did you mean"),
    (["--levels=0.5,0.3"], "strictly increasing"),
    (["--optimizer=sdg"], "sdg"),
    (["--levels=half"], "--levels must be numbers"),
    (["--levels=0.5,0.999"], "cannot be removed"),
    (["nowhere.keras"], "There is no file"),
    (["--strategy=mirrored:0"], "Unknown strategy 'mirrored:0'"),
    (["--output_dir=/proc/nowhere"], "Cannot write to the output folder"),
    (["left", "over"], "Unexpected argument 'over'"),
]


@pytest.mark.slow
def test_user_errors_are_one_line(tmp_path):
    common = ["--max_train_examples=64", "--epochs=1", f"--output_dir={tmp_path}"]
    command_lines.assert_user_errors("train", common, USER_ERRORS)
