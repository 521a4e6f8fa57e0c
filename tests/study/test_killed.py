"""A grid that is killed and started again ends like one that ran through."""

import os
import pathlib
import subprocess
import sys

import keras
import pytest
import tiny_grid

from keras_cascade import report

METHODS = "teacher", "dense", "weight_pruning", "channel_pruning_distilled"
TIMINGS = ("seconds", "wall_seconds", "latency_ms", "teacher_latency_ms")
TESTS = pathlib.Path(__file__).parents[1]


def _table(rows):
    """The Markdown table of rows, without what depends on the clock."""
    return report.cells_table(
        report.summarise_cells([{**row, **dict.fromkeys(TIMINGS, 1.0)} for row in rows])
    )


@pytest.mark.slow
def test_a_killed_grid_ends_like_one_that_was_not(tmp_path, monkeypatch):
    tiny_grid.use_tiny(monkeypatch.setattr)
    whole = tiny_grid.runner(tmp_path / "whole", METHODS).run()
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, tiny_grid.__file__, folder, ",".join(METHODS)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    for line in process.stdout:
        if line.startswith("[3/4]"):
            process.kill()
            break
    process.communicate()
    assert process.returncode == -9
    assert len((folder / "results.jsonl").read_text().splitlines()) == 2
    keras.utils.set_random_seed(1)  # no cell may depend on what ran before it
    lines = []
    continued = tiny_grid.runner(folder, METHODS, say=lines.append).run()
    assert any("2 of 4 cells are finished already" in line for line in lines)
    assert _table(continued) == _table(whole)
