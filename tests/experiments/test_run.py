"""experiments/run.py, as its user runs it, at the preset `smoke`."""

import json
import pathlib

import pytest
import running

SCRIPT = pathlib.Path(__file__).parents[2] / "experiments" / "run.py"


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped_and_trains_nothing_twice(tmp_path):
    common = ["--preset=smoke", f"--output_dir={tmp_path}"]
    first = running.run(SCRIPT, *common, "--experiments=vgg16_cifar10", "--methods=teacher")
    assert first.returncode == 0, first.stderr
    second = running.run(
        SCRIPT, *common, "--experiments=vgg16_cifar10,assistants", "--methods=teacher,frozen_0"
    )
    assert second.returncode == 0, second.stderr
    assert "1 of 2 cells are finished already." in second.stdout
    assert "training the teacher" in first.stdout and "training the teacher" not in second.stdout
    rows = rows_of(tmp_path / "vgg16_cifar10_smoke.jsonl")
    others = rows_of(tmp_path / "assistants_smoke.jsonl")
    assert [row["method"] for row in rows] == ["teacher", "frozen_0"]
    taken = {"taken_from": "vgg16_cifar10_smoke.jsonl"}
    assert others[1] == {**rows[1], **taken} and others[0].items() >= taken.items()
    for row in (*rows, *others):
        assert {"settings", "seed", "versions", "device", "seconds"} <= row.keys()
    levels = rows[1]["epochs"][0]["levels"]
    for name in ("teacher", "student"):
        assert {"accuracy", "val_accuracy", "params", "macs"} <= levels[name].keys()


# Of one_at_a_time, those that are trained in another way and not with another number.
OTHERWISE = "shared_normalisation,soft_masks,dense_guidance,recovery_from_assistant,no_recovery"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flags"),
    [("vgg16_cifar10", []), ("one_at_a_time", [f"--methods={OTHERWISE}"])],
    ids=["vgg16_cifar10", "one_at_a_time"],
)
def test_every_method_and_kind_of_variant_runs(name, flags, tmp_path):
    result = running.run(
        SCRIPT, "--preset=smoke", f"--experiments={name}", f"--output_dir={tmp_path}", *flags
    )
    assert result.returncode == 0, result.stderr
    rows = rows_of(tmp_path / f"{name}_smoke.jsonl")
    assert not [row["error"] for row in rows if "error" in row]
    steps = {row["steps"] for row in rows if row["method"] != "teacher"}
    assert len(steps) == 1 and steps.pop() > 0


def test_what_its_user_gets_wrong_is_one_line(tmp_path):
    common = [f"--output_dir={tmp_path}"]
    running.assert_user_errors(
        SCRIPT,
        common,
        [
            (["--experiments=vgg17"], "Unknown experiment 'vgg17'. There are vgg16_cifar10, "),
            (["--preset=huge"], "there are smoke, cpu"),
            (
                ["--experiments=vgg16_cifar10", "--seeds=7"],
                "--seeds=7: the preset has 0",
            ),
            (
                ["--experiments=vgg16_cifar10", "--methods=from_scratch"],
                "must stand before it",
            ),
            (
                ["--experiments=vgg16_cifar10", "--preset=cpu", f"--data_dir={tmp_path / 'no'}"],
                "is not a folder",
            ),
        ],
    )
