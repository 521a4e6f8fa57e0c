"""The page of a run: its numbers are those of the folder, and it needs nothing but itself."""

import json
import re

import numpy as np
import pytest
import run_folders
from html_text import Page

from keras_cascade import report
from keras_cascade.report import run_plots
from keras_cascade.report.run_page import run_page

pytest.importorskip("matplotlib", reason="plots need matplotlib")


def _page(folder):
    return Page(report.write_run_report(folder).read_text())


def _cells(page, caption):
    """The table under a caption: list of rows of text, the header first."""
    return next(rows for title, rows in page.tables if title == caption)


@pytest.mark.parametrize("seed", [1, 2])
def test_tables_show_the_numbers_of_the_folder(tmp_path, seed):
    content = run_folders.results(seed)
    page = _page(run_folders.write(tmp_path, content, latency=True))
    rows = {row["name"]: row for row in content["rows"]}
    original = rows["original"]
    shown = _cells(page, "Every model on the test split")[1:]
    assert [cells[0] for cells in shown] == list(rows)
    for name, accuracy, lost, params, macs in shown:
        row = rows[name]
        assert float(accuracy) == pytest.approx(100 * row["accuracy"], abs=0.0051)
        gap = 100 * (original["accuracy"] - row["accuracy"])
        assert float(lost) == pytest.approx(gap, abs=0.0051)
        assert float(params) == pytest.approx(100 * row["params"] / original["params"], abs=0.051)
        assert float(macs) == pytest.approx(100 * row["macs"] / original["macs"], abs=0.051)
    for name, *sizes in _cells(page, "Models")[1:]:
        keys = ("params", "nonzero_params", "macs", "bytes")
        assert sizes == [f"{rows[name][key]:,}" for key in keys]
    assert _cells(page, "Files")[1:] == [
        ["teacher.keras", "4,321"], ["student.keras", "1,234"], ["student/model.tflite", "98,765"],
    ]  # fmt: skip
    assert _cells(page, "Milliseconds of one example")[1:] == [
        ["original", "4.0000", "3.5000", "4.5000", "1.00"],
        ["student", "1.0000", "0.8750", "1.2500", "0.25"],
    ]
    text = " ".join(" ".join(page.text).split())
    assert "2 threads, 77 timed runs" in text and "cpus = 3" in text
    assert f"{content['seconds']:,.1f}" in text and "keras = 3.15.1" in text
    assert f"keras-cascade train --dataset=digits --seed={seed}" in text


def test_bars_are_as_long_as_what_is_kept(tmp_path):
    content = run_folders.results(3)
    page = _page(run_folders.write(tmp_path, content))
    cascade = content["cascade"]
    levels = [level for level in cascade["levels"] if level["name"] != "teacher"]
    header, *shown = _cells(page, "Channels of every group")
    assert header == ["group", "before", "ta1", "ta2", "student"]
    kept = [[level["kept"][group["name"]] for level in levels] for group in cascade["groups"]]
    sizes = np.array([group["size"] for group in cascade["groups"]])
    assert [cells[1:] for cells in shown] == [
        [f"{size:,}", *map(str, counts)] for size, counts in zip(sizes, kept, strict=True)
    ]
    assert shown[-1][0].endswith("kept whole: model output")
    widths = [float(re.match(r"width: ([\d.]+)%", style)[1]) for style in page.styles]
    expected = 100 * np.array(kept) / sizes[:, None]
    np.testing.assert_allclose(widths, expected.ravel(), atol=0.051)


def test_curves_and_histograms_are_the_logs(monkeypatch):
    """What matplotlib was given."""
    figures = []
    new_figure = run_plots.new_figure
    monkeypatch.setattr(
        run_plots, "new_figure", lambda *size: figures.append(new_figure(*size)) or figures[-1]
    )
    content = run_folders.results(4)
    history, cascade = content["history"], content["cascade"]
    plots = run_plots.draw_curves(history)
    assert len(plots) == 6
    logs = {level: (f"val_{level}_accuracy", f"{level}_macs") for level in run_folders.LEVELS}
    logs["student"] = ("val_accuracy", "student_macs")
    for figure, which in ((figures[0], 0), (figures[4], 1)):
        lines = {line.get_label(): line.get_xydata() for line in figure.axes[0].lines}
        assert list(lines) == list(run_folders.LEVELS)
        for level, points in lines.items():
            expected = 100 * np.array(history[logs[level][which]])
            np.testing.assert_allclose(points.T, [range(1, 7), expected])
    student = history["student_macs"]
    alt = plots[4].svg.get("aria-label")
    assert f"student from {100 * student[0]:.1f} to {100 * student[-1]:.1f}" in alt
    figures.clear()
    plots = run_plots.draw_saliency(cascade)
    assert len(plots) == 3
    for figure, level in zip(figures, cascade["levels"][1:], strict=True):
        drawn = {patch.get_label(): patch.get_data() for patch in figure.axes[0].patches}
        for kind in ("kept", "removed"):
            assert list(drawn[kind].values) == level["saliency"][kind]
            assert list(drawn[kind].edges) == cascade["log10_saliency_edges"]


def test_text_is_escaped_and_nothing_is_outside(tmp_path):
    bad = '<script>alert("1")</script>&<b>'
    content = run_folders.results(5, command=f"keras-cascade train '{bad}.keras'")
    content["configuration"] |= {"teacher": f"{bad}.keras", "dataset": bad}
    content["versions"] = {bad: bad}
    group = content["cascade"]["groups"][0]
    for level in content["cascade"]["levels"]:
        level["kept"][bad] = level["kept"].pop(group["name"])
    group |= {"name": bad, "made_by": [bad, f"other {bad}"]}
    content["rows"][0]["name"] = bad
    written = report.write_run_report(run_folders.write(tmp_path, content)).read_text()
    page = Page(written)
    assert not {"script", "b", "link", "iframe", "object"} & set(page.tags)
    assert "".join(page.text).count(bad) >= 8
    assert "http" not in written and "@import" not in written
    outside = [value for value in page.references if not value.startswith("#")]
    assert not outside, outside


def test_page_is_well_formed(tmp_path):
    page = _page(run_folders.write(tmp_path, run_folders.results(6), latency=True))
    assert page.attributes["html"][0]["lang"] == "en"
    assert any(each.get("name") == "viewport" for each in page.attributes["meta"])
    assert page.tags.count("title") == page.tags.count("h1") == 1
    assert all(each.get("scope") in ("row", "col") for each in page.attributes["th"])
    figures = page.attributes["svg"]
    assert len(figures) == page.tags.count("figcaption") == 10
    assert all(each["role"] == "img" and len(each["aria-label"]) > 40 for each in figures)
    assert len(page.ids) == len(set(page.ids)) > 20
    assert {value.removeprefix("#") for value in page.references} <= set(page.ids)


def test_the_same_run_gives_the_same_page(tmp_path):
    folder = run_folders.write(tmp_path, run_folders.results(7))
    path = tmp_path / "other.html"
    assert report.write_run_report(folder, path) == path
    assert report.write_run_report(folder).read_bytes() == path.read_bytes()


def test_a_run_that_recorded_less(tmp_path):
    """As examples/train_on_machines.py writes it: rows and logs."""
    content = run_folders.results(8)
    content = {"rows": content["rows"], "history": content["history"]}
    page = _page(run_folders.write(tmp_path, content))
    text = " ".join(page.text)
    assert "The run did not record them." in text and "Not measured" in text
    assert len(page.attributes["svg"]) == 7
    assert "student/model.tflite" not in text  # nothing says that it is of this run
    run = {**content, "history": {}, "files": {}, "latency": None}
    run["rows"] = [{**row, "macs": None} for row in run["rows"]]
    text = " ".join(Page(run_page(run)).text)
    assert "kept no logs" in text and "Not drawn: the input size is open" in text


def test_lost_logs_are_named(tmp_path):
    content = run_folders.results(9)
    content["configuration"]["epochs"] = 8
    assert "6 of 8 epochs have logs" in " ".join(_page(run_folders.write(tmp_path, content)).text)


def test_latency_of_another_student_is_not_shown(tmp_path):
    folder = run_folders.write(tmp_path, run_folders.results(9), latency=True)
    assert report.read_latency(folder)["runs"] == 77
    (folder / "student.keras").write_bytes(b"trained anew")
    assert report.read_latency(folder) is None
    assert "Not measured" in " ".join(_page(folder).text)


@pytest.mark.parametrize("content", ["{", "[]", '{"rows": []}', json.dumps({"rows": [{}]})])
def test_damaged_results_are_named(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match="results.json' (is damaged|holds no results)"):
        report.read_run(tmp_path)
    assert not (tmp_path / "report.html").exists()
