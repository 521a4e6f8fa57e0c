"""Invariant 5 with real processes: SIGKILL at any point, and a run that ends with the same bits."""

import pytest
from chaos.kills import Trainee, damage_newest, finished, full_disk, same

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    finished(folder / "states", folder / "end.npz")
    return folder / "end.npz"


@pytest.mark.parametrize(
    ("point", "times"),
    [
        ("after a step and its mask update, before its state is written", 3),
        ("while a state is written", 5),
        ("before a step", 7),
    ],
)
def test_killed_process_goes_on_to_the_same_bits(expected, tmp_path, point, times):
    output = tmp_path / "end.npz"
    assert Trainee(tmp_path / "states", output).live(times, point) == point
    assert not output.exists()
    finished(tmp_path / "states", output)
    assert same(output, expected)


def test_state_that_was_damaged_after_a_kill(expected, tmp_path):
    output = tmp_path / "end.npz"
    Trainee(tmp_path / "states", output).live(5, "before a step")
    assert damage_newest(tmp_path / "states")
    trainee = finished(tmp_path / "states", output)
    assert any("is damaged; the state before it is taken" in line for line in trainee.said)
    assert same(output, expected)


def test_full_disk_in_a_process_of_its_own(expected, tmp_path):
    found = full_disk(tmp_path, expected)
    assert found["lost"] == [] and found["same"]
    assert "make room, and run the same again" in found["message"]
