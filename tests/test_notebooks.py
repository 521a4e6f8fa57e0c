"""The notebooks of the site run from top to bottom, quietly, and their texts hold no results."""

import pathlib
import re

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((pathlib.Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def _read(path):
    return nbformat.read(path, nbformat.NO_CONVERT)


def test_there_are_two():
    assert [path.stem for path in NOTEBOOKS] == ["cascade_on_digits", "prune_a_trained_model"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_texts_hold_no_results(path):
    """What a run gives stands in its outputs, where it changes with the code."""
    texts = [cell.source for cell in _read(path).cells if cell.cell_type == "markdown"]
    assert len(texts) > 5
    assert [
        re.findall(r"\d[\d.,]*", text) for text in texts if re.search(r"\d{2}|\d\.\d", text)
    ] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_are_of_one_run(path):
    code = [cell for cell in _read(path).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    _assert_quiet(code)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(path, tmp_path):
    notebook = _read(path)
    client = nbclient.NotebookClient(
        notebook, kernel_name="python3", timeout=300, resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    _assert_quiet(code)
    for before, after in zip(_kinds(_read(path)), _kinds(notebook), strict=True):
        assert before == after
    assert list(tmp_path.iterdir()) == []  # what it writes goes to a temporary folder


def _kinds(notebook):
    """What each cell gives: text, pictures."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [sorted({output.output_type for output in cell.outputs}) for cell in cells]


def _assert_quiet(cells):
    streams = [
        output for cell in cells for output in cell.outputs if output.output_type == "stream"
    ]
    assert len(streams) > 5
    assert [output.text for output in streams if output.name == "stderr"] == []
    assert all("INFO:" not in output.text for output in streams)
