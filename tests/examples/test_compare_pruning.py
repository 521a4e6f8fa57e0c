"""The study as its user runs it: a small grid, its report, user errors in one line."""

import json

import command_lines
import pytest
import running

SCRIPT = "compare_pruning.py"


@pytest.mark.slow
def test_a_small_grid_ends_in_a_report(tmp_path):
    pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    result = running.run(
        SCRIPT,
        "--models=vgg16@0.02",
        "--datasets=digits",
        "--methods=teacher,dense,weight_pruning_distilled,channel_pruning",
        "--amounts=0.5",
        "--seeds=3",
        "--max_train_examples=128",
        "--batch_size=64",
        "--teacher_epochs=1",
        "--epochs=2",
        "--recover_epochs=1",
        "--min_channels=1",
        f"--output_dir={tmp_path}",
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    teacher, dense, weight, channel = map(json.loads, lines)
    assert f"{100 * weight['accuracy']:.2f}" in result.stdout
    assert f"The report: {tmp_path / 'report.html'}" in result.stdout
    assert "about" in result.stdout and "to go" in result.stdout
    written = {path.name for path in tmp_path.iterdir()}
    assert {"report.html", "results.csv", "results.jsonl", "table.md", "teachers"} <= written
    assert "accuracy_params.png" in written and not any(n.startswith("tmp") for n in written)
    page = (tmp_path / "report.html").read_text()
    assert "--models=vgg16@0.02" in page and "http" not in page.split("<body>")[0]
    assert dense["steps"] == weight["steps"] == channel["steps"] == 4 and teacher["steps"] == 0
    assert weight["nonzero_params"] == pytest.approx(0.5 * weight["params"], rel=0.01)


USER_ERRORS = [
    (["--models=resnet21"], "Unknown model 'resnet21'. Did you mean"),
    (["--models=vgg16@wide"], "must be a number above 0"),
    (["--datasets=digitz"], "Unknown data set 'digitz'"),
    (["--methods=magic"], "Known methods: teacher, dense, distillation"),
    (["--amounts=0.5,1.5"], "amounts must lie in (0, 1)"),
    (["--amounts=half"], "--amounts must be numbers such as 0.5,0.75"),
    (["--seeds=a"], "--seeds must be numbers such as 0,1,2"),
    (["--seeds=1,1"], "seeds lists something twice"),
    (["--amounts=0.99", "--models=vgg16@0.02"], "Take a smaller amount"),
    (["--epochs=2", "--recover_epochs=2"], "must leave at least one of --epochs=2"),
    (["--datasets=cifar10", "--data_dir=/nowhere"], "is not a folder"),
    (["--strategy=two"], "Unknown strategy 'two': use none, mirrored, or mirrored:N"),
    (["--output_dir=/proc/nowhere"], "Cannot write to the output folder"),
    (["left", "over"], "Unexpected argument 'left'"),
]


def test_user_errors_are_one_line(tmp_path):
    common = ["--max_train_examples=64", f"--output_dir={tmp_path}"]
    command_lines.assert_user_errors("compare", common, USER_ERRORS)


@pytest.mark.slow
def test_help_is_readable():
    result = running.run(SCRIPT, "--help")
    assert "continues where it stopped" in result.stdout
    for flag in ("models", "datasets", "methods", "amounts", "seeds", "recover_epochs", "strategy"):
        assert f"--{flag}:" in result.stdout
    assert "--[no]freeze_teacher:" in result.stdout and "--[no]hard_masks:" in result.stdout
