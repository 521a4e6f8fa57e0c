"""StudyRunner: equal steps, equal teachers, what fails is said and tried again."""

import json

import pytest
import tensorflow as tf
import tiny_grid
from marks import slow
from strategies import REPLICAS, mirrored

from keras_cascade import recipe, sparsity
from keras_cascade.study import METHODS, Protocol, Variant, methods, teachers
from keras_cascade.study import runner as runner_module


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
    later = {"replicas", "synchronized", "freeze_teacher", "hard_masks", "slice_levels"}
    then = recipe.Settings(freeze_teacher=False, hard_masks=False)
    assert not later & set(Protocol(then).as_dict())
    assert Protocol(then, synchronized=True).as_dict()["synchronized"] is True
    # Defaults that are not what they were then are written down.
    assert later & set(Protocol().as_dict()) == {"freeze_teacher", "hard_masks"}


def test_a_method_that_takes_other_steps_is_found(tmp_path, monkeypatch):
    def lazy(task):
        recipe.fine_tune(task.teacher, task.images, task.settings, 1, task.callbacks("lazy"))
        return task.teacher

    monkeypatch.setitem(METHODS, "dense", lazy)
    with pytest.raises(AssertionError, match="took 4 training steps and not 8"):
        tiny_grid.runner(tmp_path, ["dense"]).run()


@pytest.mark.parametrize(
    "error",
    [
        *slow(ValueError("no such luck"), MemoryError("no such luck")),
        tf.errors.ResourceExhaustedError(None, None, "no such luck"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failed_cell_is_recorded_and_tried_again(tmp_path, monkeypatch, error):
    def failing(task):
        raise error

    original = METHODS["dense"]
    monkeypatch.setitem(METHODS, "dense", failing)
    lines = []
    runner = tiny_grid.runner(tmp_path, ["dense", "teacher"], say=lines.append)
    failed, good = runner.run()
    told = f"{type(error).__name__}: no such luck"
    assert failed["error"] == told and "accuracy" in good
    assert any(f"failed: {told}" in line for line in lines)
    assert [cell.method for cell in runner.failed()] == ["dense"]
    assert tiny_grid.runner(tmp_path, ["teacher"]).failed() == []
    monkeypatch.setitem(METHODS, "dense", original)
    runner = tiny_grid.runner(tmp_path, ["dense", "teacher"])
    rows = runner.run()
    assert not [row for row in rows if "error" in row] and runner.failed() == []


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


@pytest.mark.parametrize("dense_ends", [*slow(False), True])
def test_weight_pruning_may_leave_its_ends_dense(tmp_path, monkeypatch, dense_ends):
    pruned = []

    def prune_weights(*args, **kwargs):
        pruned.append(sparsity.prune_weights(*args, **kwargs))
        return pruned[-1]

    monkeypatch.setattr(methods, "prune_weights", prune_weights)
    protocol = {"dense_ends": dense_ends}
    (row,) = tiny_grid.runner(tmp_path, ["weight_pruning"], protocol=protocol).run()
    assert row["nonzero_params"] == pytest.approx(0.6 * row["params"], rel=0.01)
    zeros = [
        (pruned[0].get_layer(name).get_weights()[0] == 0).mean()
        for name in sparsity.prunable_weights(pruned[0])
    ]
    assert [zeros[0] > 0.3, zeros[-1] > 0.3] == [not dense_ends] * 2
    assert min(zeros[1:-1]) > 0.3


def test_weight_pruning_begins_and_ends_when_the_cascade_does(tmp_path, monkeypatch):
    told = []

    def prune_weights(*args, **options):
        told.append((options["begin"], options["end"]))
        return sparsity.prune_weights(*args, **options)

    monkeypatch.setattr(methods, "prune_weights", prune_weights)
    for begin, end in ((0.5, 0.75), (0.9, 0.95)):
        folder = tmp_path / str(begin)
        tiny_grid.runner(folder, ["weight_pruning"], begin=begin, end=end, epochs=2).run()
    assert told == [(4, 6), (7, 8)]  # of 8 joint steps


def test_another_teacher_than_that_of_finished_cells_is_refused(tmp_path):
    tiny_grid.runner(tmp_path, ["teacher"]).run()
    (figures,) = (tmp_path / "teachers").glob("*.json")
    figures.write_text(json.dumps({**json.loads(figures.read_text()), "accuracy": 0.123}))
    with pytest.raises(
        teachers.TeacherChangedError, match="has accuracy 0.123, the one that finished cells"
    ):
        tiny_grid.runner(tmp_path, ["teacher", "dense"]).run()


def test_what_another_study_has_is_taken_over(tmp_path):
    """By what it was trained with, not by its name; what is otherwise is trained."""
    variants = {"mild": Variant("dense", {"alpha": 0.1})}
    first = tiny_grid.runner(tmp_path, ["teacher", "mild"], variants=variants, results="a.jsonl")
    first.run()
    variants = {"weak": Variant("dense", {"alpha": 0.1}), "other": Variant("dense")}
    lines = []
    methods = ["teacher", "weak", "other"]
    second = tiny_grid.runner(
        tmp_path,
        methods,
        variants=variants,
        results="b.jsonl",
        others=["nothing.jsonl", "a.jsonl"],
        say=lines.append,
    )
    rows = {row["method"]: row for row in second.run()}
    taken = {name: row.get("taken_from") for name, row in rows.items()}
    assert taken == {"teacher": "a.jsonl", "weak": "a.jsonl", "other": None}
    (mild,) = [row for row in first.records.rows if row["method"] == "mild"]
    assert rows["weak"] == {**mild, "method": "weak", "taken_from": "a.jsonl"}
    assert any("taken from a.jsonl" in line for line in lines)
    third = tiny_grid.runner(
        tmp_path, methods, variants=variants, results="c.jsonl", others=["b.jsonl"], epochs=3
    )
    assert not [row for row in third.run() if "taken_from" in row]


def test_results_of_another_backend_are_refused(tmp_path):
    (row,) = tiny_grid.runner(tmp_path, ["teacher"]).run()
    row["versions"]["backend"] = "abacus"
    (tmp_path / "results.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match="results of the backend abacus; this is"):
        tiny_grid.runner(tmp_path, ["teacher"])


@pytest.mark.slow
def test_time_left_is_told(tmp_path):
    lines = []
    tiny_grid.runner(tmp_path, ["teacher", "dense"], say=lines.append).run()
    assert any("1 to go, about 1 min" in line for line in lines)
    assert "that was the last" in lines[-1]


@pytest.mark.slow
def test_the_test_split_is_watched_only_where_that_is_asked_for(tmp_path):
    def watched(folder, watch_test):
        protocol = {"watch_test": watch_test}
        rows = tiny_grid.runner(folder, ["teacher", "dense"], protocol=protocol).run()
        assert [record["stage"] for record in rows[0]["epochs"]] == ["teacher"]
        return ["val_accuracy" in record for row in rows for record in row["epochs"]]

    assert watched(tmp_path / "blind", False) == [False] * 3
    assert watched(tmp_path / "watched", True) == [True] * 3


def test_a_cascade_records_its_levels_every_epoch(tmp_path):
    (row,) = tiny_grid.runner(tmp_path, ["cascade_1"], epochs=2, end=0.5).run()
    cascade, recovery = row["epochs"][:2], row["epochs"][2:]
    assert [record["stage"] for record in row["epochs"]] == ["cascade", "cascade", "recovery"]
    names = ["teacher", "ta1", "student"]
    for record in cascade:
        assert list(record["levels"]) == names
        shares = [level["gradient_share"] for level in record["levels"].values()]
        assert sum(shares) == pytest.approx(1.0, abs=1e-4)
        for name, level in record["levels"].items():
            assert 0.0 <= level["accuracy"] <= 1.0
            assert ("kl" in level, "flips" in level) == (name != "teacher", name != "teacher")
    assert all("levels" not in record for record in recovery)
    assert list(row["levels"]) == names
    last = cascade[-1]["levels"]
    for name in names:
        assert row["levels"][name]["params"] == last[name]["params"]
        assert row["levels"][name]["macs"] == last[name]["macs"]
    assert row["levels"]["student"]["params"] == row["params"] < row["teacher_params"]
    # Masks are fixed after half of the epochs.
    assert sum(cascade[0]["levels"]["student"].get("flips", 0) for _ in names) > 0
    assert last["student"]["flips"] == 0


@pytest.mark.slow
def test_of_macs_others_go_by_the_shape_of_a_cascade(tmp_path):
    names = ["cascade_0", "pruned_from_scratch", "weight_pruning"]
    rows = tiny_grid.runner(tmp_path, names, budget="macs").run()
    assert not [row["error"] for row in rows if "error" in row]
    cascade, scratch, zeros = rows
    assert cascade["macs"] <= 0.6 * cascade["teacher_macs"]
    assert (scratch["params"], scratch["macs"]) == (cascade["params"], cascade["macs"])
    assert zeros["nonzero_params"] == pytest.approx(cascade["params"], rel=0.02)
    assert {row["steps"] for row in rows} == {tiny_grid.TOTAL_STEPS}


def test_a_method_that_goes_by_another_comes_after_it(tmp_path):
    runner = tiny_grid.runner(tmp_path, ["pruned_from_scratch", "cascade_0"])
    with pytest.raises(ValueError, match="'cascade_0' .*must stand before it"):
        runner.check()
    (row,) = tiny_grid.runner(tmp_path, ["pruned_from_scratch"]).run()
    assert "goes by the result of 'noise tiny cascade_0 0.4 seed 0'" in row["error"]


def test_without_litert_files_nothing_of_them_is_measured(tmp_path):
    (row,) = tiny_grid.runner(tmp_path, ["dense"], protocol={"litert": False}).run()
    unmeasured = ("gzipped_bytes", "teacher_gzipped_bytes", "latency_ms", "teacher_latency_ms")
    assert [row[name] for name in unmeasured] == [None] * 4
    assert row["accuracy"] >= 0 and row["bytes"] > 0
    assert not list(tmp_path.rglob("*.tflite"))
    # A study with files may go on with such teachers.
    files = {"protocol": {"litert": True}, "results": "files.jsonl"}
    (row,) = tiny_grid.runner(tmp_path, ["dense"], **files).run()
    assert row["teacher_gzipped_bytes"] > 0 and row["latency_ms"] > 0


def test_a_teacher_of_another_recipe_is_not_taken(tmp_path):
    tiny_grid.runner(tmp_path / "a", ["teacher"], teachers=tmp_path / "teachers").run()
    other = tiny_grid.runner(
        tmp_path / "b", ["teacher"], teachers=tmp_path / "teachers", teacher_epochs=2
    )
    with pytest.raises(teachers.TeacherChangedError, match="teacher_epochs 1 there, 2 here"):
        other.run()


VARIANTS = {
    "cold": Variant("cascade_0", {"temperature": 1.0}),
    "warm": Variant("cascade_0", {"temperature": 8.0}),
}


def test_a_variant_trains_with_its_own_settings(tmp_path, monkeypatch):
    seen = []

    def method(task):
        seen.append(task.settings.temperature)
        return METHODS["dense"](task)

    monkeypatch.setitem(METHODS, "cascade_0", method)
    cold, warm = tiny_grid.runner(tmp_path, VARIANTS, variants=VARIANTS).run()
    assert seen == [1.0, 8.0]
    assert warm["variant"] == {"method": "cascade_0", "temperature": 8.0}
    assert cold["settings"] == warm["settings"]


@pytest.mark.slow
def test_results_of_a_variant_that_was_another_are_not_taken(tmp_path):
    tiny_grid.runner(tmp_path, ["cold"], variants=VARIANTS).run()
    other = {"cold": Variant("cascade_0", {"temperature": 2.0})}
    with pytest.raises(ValueError, match="holds results of another variant 'cold'"):
        tiny_grid.runner(tmp_path, ["cold"], variants=other)


def test_weight_pruning_is_left_out_without_tfmot(tmp_path, monkeypatch):
    monkeypatch.setattr(runner_module.importlib.util, "find_spec", lambda name: None)
    lines = []
    rows = tiny_grid.runner(tmp_path, ["teacher", "weight_pruning"], say=lines.append).run()
    assert [row["method"] for row in rows] == ["teacher"]
    assert "TF-MOT is not installed; left out: weight_pruning." in lines
