"""Summaries over seeds: the right means, and runs that do not belong together are refused."""

import json

import pytest

from keras_cascade import report


def _run(folder, seed, accuracy, **configuration):
    folder.mkdir()
    rows = [
        {"name": name, "accuracy": value, "params": 10, "macs": macs, "bytes": 40, "seed": seed}
        for name, value, macs in (("original", 0.9, 100), ("student", accuracy, 20 + seed))
    ]
    content = {
        "rows": rows,
        "configuration": {"seed": seed, "output_dir": str(folder), "model": "m", **configuration},
    }
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def test_means_and_spread(tmp_path):
    folders = [_run(tmp_path / str(s), s, a) for s, a in ((0, 0.80), (1, 0.84), (2, 0.88))]
    original, student = report.summarise(report.read_runs(folders))
    assert student["accuracy"] == pytest.approx(84.0)
    assert student["accuracy_std"] == pytest.approx(4.0)
    assert student["below_original"] == pytest.approx(6.0)
    assert student["macs"] == 21 and student["seeds"] == [0, 1, 2]
    assert original["accuracy_std"] == pytest.approx(0.0)
    table = report.markdown_table([original, student])
    assert "| student | 84.00 ± 4.00 | 6.00 | 10 | 21 | 40 |" in table


def test_one_run_has_no_spread(tmp_path):
    summary = report.summarise(report.read_runs([_run(tmp_path / "a", 0, 0.8)]))
    assert "| student | 80.00 | 10.00 |" in report.markdown_table(summary)


def test_what_rounds_to_zero_has_no_sign():
    row = {
        "name": "student", "accuracy": 90.0, "accuracy_std": None, "below_original": -1e-9,
        "params": 1, "macs": 1, "bytes": 1,
    }  # fmt: skip
    assert "| student | 90.00 | 0.00 |" in report.markdown_table([row])


def test_runs_must_be_alike_and_there(tmp_path):
    folders = [_run(tmp_path / "a", 0, 0.8), _run(tmp_path / "b", 1, 0.8, model="other")]
    with pytest.raises(ValueError, match="differ in model"):
        report.read_runs(folders)
    with pytest.raises(ValueError, match="There is no file '.*nowhere/results.json'"):
        report.read_runs([tmp_path / "nowhere"])
    path = folders[0] / "results.json"
    content = json.loads(path.read_text())
    del content["configuration"]
    for text, message in (
        (json.dumps(content), r"a' do not say how they were made \(configuration\)"),
        (json.dumps(content)[:40], "results.json' is damaged"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            report.read_runs(folders)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": ["student"]}, "holds no results"),
        ({"rows": {"name": "original"}}, "holds no results"),
        ({"rows": []}, "holds no results"),
        ({"configuration": None}, "do not say how they were made"),
        ({"rows": [{"name": "a", "accuracy": 1, "params": 1, "macs": 1}]}, "no row 'original'"),
        ({"rows": [{"name": "original", "accuracy": None, "params": 1, "macs": 1}]}, "no results"),
        ({"rows": [{"name": "original", "accuracy": 1, "params": 1, "macs": 1}]}, "lack the bytes"),
    ],
)
def test_results_of_another_kind_are_named(tmp_path, change, message):
    path = _run(tmp_path / "a", 0, 0.8) / "results.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=f"(?s)/a.*{message}"):
        report.read_runs([path.parent])


def test_one_run_counts_once(tmp_path):
    with pytest.raises(ValueError, match=r"seeds are \[0, 0\]"):
        report.read_runs(iter([_run(tmp_path / "a", 0, 0.8)] * 2))
    with pytest.raises(ValueError, match="no runs to read"):
        report.read_runs([])


def test_where_runs_wrote_makes_no_difference(tmp_path):
    folders = [
        _run(tmp_path / str(seed), seed, 0.8, log_dir=f"logs/{seed}", process_id=0, resume=seed > 0)
        for seed in (0, 1)
    ]
    assert len(report.read_runs(folders)) == 2


def test_section_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin x -->\nold\n<!-- end x -->\nafter\n")
    report.replace_section(page, "x", "new")
    assert page.read_text() == "before\n<!-- begin x -->\nnew\n<!-- end x -->\nafter\n"
    with pytest.raises(ValueError, match="no lines '<!-- begin y -->'"):
        report.replace_section(page, "y", "new")
