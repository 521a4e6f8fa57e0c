"""StudyRunner: equal steps, equal teachers, what fails is said and tried again."""

import json
import types

import pytest
import tiny_grid
from strategies import REPLICAS, mirrored

from keras_cascade import recipe
from keras_cascade.study import METHODS, Protocol, methods, teachers


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    tiny_grid.use_tiny(monkeypatch.setattr)


@pytest.mark.slow
def test_every_method_takes_the_same_steps_from_the_same_teacher(tmp_path):
    runner = tiny_grid.runner(tmp_path, METHODS)
    runner.check()
    rows = {row["method"]: row for row in runner.run()}
    assert not [row for row in rows.values() if "error" in row]
    assert list(rows) == list(METHODS)
    assert rows.pop("teacher")["steps"] == 0
    assert {row["steps"] for row in rows.values()} == {tiny_grid.TOTAL_STEPS}
    assert len({row["teacher_accuracy"] for row in rows.values()}) == 1
    assert len(list((tmp_path / "teachers").glob("*.keras"))) == 1
    whole = rows["dense"]["teacher_params"]
    for name in ("weight_pruning", "weight_pruning_distilled"):
        assert rows[name]["nonzero_params"] == pytest.approx(0.6 * whole, rel=0.01)
        assert rows[name]["params"] == whole
    for name in ("channel_pruning", "channel_pruning_distilled", "cascade_0", "cascade_3"):
        assert 0.4 * whole < rows[name]["params"] <= 0.62 * whole
        assert rows[name]["macs"] < rows[name]["teacher_macs"]


@pytest.mark.slow
def test_a_study_on_two_replicas(tmp_path):
    """Weight pruning takes one, and says so; the others' models are plain ones again."""
    scopes, lines = [], []

    def make_scope():
        scopes.append(mirrored().scope())
        return scopes[-1]

    runner = tiny_grid.runner(
        tmp_path,
        ["dense", "weight_pruning", "cascade_1"],
        say=lines.append,
        replicas=REPLICAS,
        make_scope=make_scope,
    )
    rows = {row["method"]: row for row in runner.run()}
    assert not [row["error"] for row in rows.values() if "error" in row]
    assert len(scopes) == 3  # the teacher's, and two of the methods'
    assert sum("on one replica" in line for line in lines) == 1
    assert {row["steps"] for row in rows.values()} == {tiny_grid.TOTAL_STEPS}
    assert rows["cascade_1"]["settings"]["replicas"] == REPLICAS


def test_rows_of_before_a_setting_have_its_default():
    later = {"replicas", "synchronized", "freeze_teacher"}
    assert not later & set(Protocol().as_dict())
    assert Protocol(synchronized=True).as_dict()["synchronized"] is True
    frozen = Protocol(recipe.Settings(freeze_teacher=True, budget="params"))
    assert later & set(frozen.as_dict()) == {"freeze_teacher"}


def test_a_method_that_takes_other_steps_is_found(tmp_path, monkeypatch):
    def lazy(task):
        recipe.fine_tune(task.teacher, task.images, task.settings, 1, task.counting())
        return task.teacher

    monkeypatch.setitem(METHODS, "dense", lazy)
    with pytest.raises(AssertionError, match="took 4 training steps and not 8"):
        tiny_grid.runner(tmp_path, ["dense"]).run()


def test_a_failed_cell_is_recorded_and_tried_again(tmp_path, monkeypatch):
    def failing(task):
        raise ValueError("no such luck")

    original = METHODS["dense"]
    monkeypatch.setitem(METHODS, "dense", failing)
    lines = []
    failed, good = tiny_grid.runner(tmp_path, ["dense", "teacher"], say=lines.append).run()
    assert failed["error"] == "ValueError: no such luck" and "accuracy" in good
    assert any("failed: ValueError: no such luck" in line for line in lines)
    monkeypatch.setitem(METHODS, "dense", original)
    rows = tiny_grid.runner(tmp_path, ["dense", "teacher"]).run()
    assert not [row for row in rows if "error" in row]


@pytest.mark.parametrize(
    ("name", "amount", "message"),
    [
        ("weight_pruning", 0.99, "cannot be set to zero: TF-MOT prunes"),
        ("cascade_1", 0.99, "cannot be removed"),
        ("channel_pruning", 0.99, "cannot be removed"),
    ],
)
def test_an_amount_out_of_reach_is_found_before_training(tmp_path, name, amount, message):
    with pytest.raises(ValueError, match=f"noise tiny {name} 0.99: .*{message}"):
        tiny_grid.runner(tmp_path, [name], amounts=(amount,), min_channels=2).check()
    assert not (tmp_path / "results.jsonl").exists()


def test_another_teacher_than_that_of_finished_cells_is_refused(tmp_path):
    tiny_grid.runner(tmp_path, ["teacher"]).run()
    (figures,) = (tmp_path / "teachers").glob("*.json")
    figures.write_text(json.dumps({**json.loads(figures.read_text()), "accuracy": 0.123}))
    with pytest.raises(
        teachers.TeacherChangedError, match="has accuracy 0.123, the one that finished cells"
    ):
        tiny_grid.runner(tmp_path, ["teacher", "dense"]).run()


def test_time_left_is_told(tmp_path):
    lines = []
    tiny_grid.runner(tmp_path, ["teacher", "dense"], say=lines.append).run()
    assert any("1 to go, about 1 min" in line for line in lines)
    assert "that was the last" in lines[-1]


def test_task_counts_with_any_keras():
    counted = []
    task = methods.Task(None, "tiny", 0.5, None, Protocol(), 0, lambda: counted.append(1))
    (callback,) = task.counting(types.SimpleNamespace(LambdaCallback=lambda **hooks: hooks))
    callback["on_train_batch_end"](0, logs={})
    assert counted == [1]
