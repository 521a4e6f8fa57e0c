"""With backups a training of a study that is broken off goes on, and ends as if it had not been."""

import pytest
import tiny_grid
from marks import slow_case

from keras_cascade.cascade import TrainingBackup
from keras_cascade.study import METHODS

TIMINGS = {"seconds", "wall_seconds"}


class Killed(BaseException):
    """Stands for the end of the process: nothing after it runs."""


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    tiny_grid.use_tiny(monkeypatch.setattr)


def untimed(record):
    """A row or an epoch's record without what depends on the clock."""
    return {name: value for name, value in record.items() if name not in TIMINGS}


def kill_after(states, patch):
    """Lets a run write so many states and then ends it."""
    left, save = [None] * states, TrainingBackup._save

    def save_or_die(backup, *position, **ended):
        save(backup, *position, **ended)
        left.pop()
        if not left:
            raise Killed

    patch.setattr(TrainingBackup, "_save", save_or_die)


# Each stage has 4 steps an epoch, and a state after every third of them and at each epoch's end.
@pytest.mark.parametrize(
    ("method", "states", "broken_off"),
    [
        ("teacher", 1, 0),  # in the middle of an epoch
        slow_case("cascade_1", 3, 0),
        slow_case("cascade_1", 4, None),  # between cascade and recovery
        ("cascade_1", 5, 1),
        slow_case("dense", 4, None),  # between two epochs
        slow_case("channel_pruning_distilled", 3, 0),
    ],
)
def test_a_row_is_that_of_a_training_that_ran_through(
    tmp_path, monkeypatch, method, states, broken_off
):
    def runner(name, **options):
        return tiny_grid.runner(tmp_path / name, [method], **options)

    (whole,) = runner("whole", backup_every=3).run()
    with monkeypatch.context() as patch:
        kill_after(states, patch)
        with pytest.raises(Killed):
            runner("killed", backup_every=3).run()
    lines = []
    (continued,) = runner("killed", backup_every=3, say=lines.append).run()
    epochs = [[untimed(record) for record in row.pop("epochs")] for row in (continued, whole)]
    assert continued.pop("resumed", False) == (method != "teacher")
    assert untimed(continued) == untimed(whole)
    for index, (now, then) in enumerate(zip(*epochs, strict=True)):
        # Losses and metrics of an epoch that was broken off are those of its rest.
        compared = ("stage", "epoch") if index == broken_off else then
        assert {name: now[name] for name in compared} == {name: then[name] for name in compared}
    assert not list((tmp_path / "killed").glob("**/*backup*"))
    assert ("    going on where it was broken off" in lines) == (method != "teacher")


def test_the_states_of_a_cell_that_failed_stay(tmp_path, monkeypatch):
    dense = METHODS["dense"]

    def fail_at_the_end(task):
        dense(task)
        raise MemoryError("no such luck")

    with monkeypatch.context() as patch:
        patch.setitem(METHODS, "dense", fail_at_the_end)
        (failed,) = tiny_grid.runner(tmp_path, ["dense"], backup_every=3).run()
    assert failed["error"] == "MemoryError: no such luck"
    lines = []
    tiny_grid.runner(tmp_path, ["dense"], backup_every=3, say=lines.append).run()
    assert "    going on where it was broken off" in lines


def test_the_states_of_another_run_of_the_study_stay(tmp_path):
    state = tmp_path / "results_backup" / "another_cell" / "cascade" / "epoch_state"
    state.parent.mkdir(parents=True)
    state.touch()
    tiny_grid.runner(tmp_path, ["teacher"], backup_every=3).run()
    assert state.exists()
