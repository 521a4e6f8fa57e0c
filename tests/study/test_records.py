"""Records: nothing finished is lost, nothing damaged is believed."""

import json

import pytest

from keras_cascade.study import Cell, Records

SETTINGS = {"epochs": 2, "optimizer": "sgd"}
FIRST = Cell("m", "d", "dense", 0.0, 0)
SECOND = Cell("m", "d", "weight_pruning", 0.5, 0)


def _row(cell, **result):
    return {**vars(cell), **result, "settings": SETTINGS}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.jsonl"


def test_rows_are_there_at_once_and_later(path):
    records = Records(path, SETTINGS)
    records.append(_row(FIRST, accuracy=0.5))
    assert json.loads(path.read_text())["accuracy"] == 0.5
    records.append(_row(SECOND, accuracy=0.6))
    again = Records(path, SETTINGS)
    assert again.rows == records.rows and len(again.rows) == 2
    assert again.finished(FIRST) and not again.finished(Cell("m", "d", "dense", 0.0, 1))


@pytest.mark.parametrize(
    "damage", ['{"model": "m", "da', "nonsense", "[1, 2]", '{"model": "m"}', "\udcff\x00"]
)
def test_a_damaged_line_is_skipped_and_named(path, damage):
    records = Records(path, SETTINGS)
    records.append(_row(FIRST, accuracy=0.5))
    with path.open("ab") as file:  # as a process that is killed while it writes leaves it
        file.write(damage.encode(errors="surrogateescape"))
    torn = Records(path, SETTINGS)
    assert len(torn.damaged) == 1 and "line 2" in torn.damaged[0]
    torn.append(_row(SECOND, accuracy=0.6))
    mended = Records(path, SETTINGS)
    assert mended.finished(FIRST) and mended.finished(SECOND)
    assert len(mended.damaged) == 1


def test_the_last_row_of_a_cell_holds_and_errors_are_not_results(path):
    records = Records(path, SETTINGS)
    records.append(_row(FIRST, error="ValueError: no"))
    assert not Records(path, SETTINGS).finished(FIRST)
    records.append(_row(FIRST, accuracy=0.7))
    (row,) = Records(path, SETTINGS).rows
    assert row["accuracy"] == 0.7 and "error" not in row


def test_rows_of_other_settings_are_refused(path):
    Records(path, SETTINGS).append(_row(FIRST, accuracy=0.5))
    with pytest.raises(ValueError, match="other settings .epochs 2 there, 3 here"):
        Records(path, {**SETTINGS, "epochs": 3})
    assert len(Records(path).rows) == 1  # a report takes them as they are


def test_two_runs_may_write_to_one_file(path):
    one, other = Records(path, SETTINGS), Records(path, SETTINGS)
    one.append(_row(FIRST, accuracy=0.5))
    other.append(_row(SECOND, accuracy=0.6))
    assert len(Records(path, SETTINGS).rows) == 2
