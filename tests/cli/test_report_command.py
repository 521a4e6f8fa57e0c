"""keras-cascade report: a page of what train or compare left, measured once, errors in one line."""

import hashlib
import json

import command_lines
import networks
import pytest
import run_folders
from html_text import Page
from study_rows import many_rows

pytest.importorskip("matplotlib", reason="plots need matplotlib")
pytestmark = pytest.mark.only_on("tensorflow", reason="the command line exports by TensorFlow")


def _study(folder):
    folder.mkdir()
    rows = many_rows(1, models=("resnet20",), seeds=(0, 1))
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.slow
def test_pages_of_runs_and_of_studies(tmp_path):
    run = run_folders.write(tmp_path / "run", run_folders.results(1))
    study, named = _study(tmp_path / "study"), _study(tmp_path / "named")
    texts = {"title": "Mine", "command": "keras-cascade compare --seeds=0,1"}
    (named / "study.json").write_text(json.dumps(texts))
    other = tmp_path / "elsewhere" / "page.html"
    lines = ([run], [run, f"--output={other}"], [study], [named])
    for code, shown, errors in command_lines.run("report", *lines):
        assert (code, errors) == (0, "") and "The report: " in shown
    assert other.read_bytes() == (run / "report.html").read_bytes()
    assert "Cascade of resnet20 on digits" in other.read_text()
    page = Page((study / "report.html").read_text())
    assert "Pruning compared: resnet20 on cifar10" in page.text
    assert "cascade, 2 assistants" in str(page.tables)
    assert {"results.csv", "table.md", "findings.md"} <= {path.name for path in study.iterdir()}
    page = Page((named / "report.html").read_text())
    assert "Mine" in page.text and texts["command"] in "".join(page.text)


@pytest.mark.slow
def test_user_errors_are_one_line(tmp_path):
    empty, unfinished, torn = (tmp_path / name for name in ("empty", "unfinished", "torn"))
    for folder in (empty, unfinished / "backup", torn):
        folder.mkdir(parents=True)
    (torn / "results.json").write_text('{"rows": [')
    run = run_folders.write(tmp_path / "run", run_folders.results(1))
    study = _study(tmp_path / "study")
    cases = [
        ([tmp_path / "absent"], "There is no folder"),
        ([empty], "holds neither results.json of train nor results.jsonl of compare"),
        ([unfinished], "give the same train command again"),
        ([torn], "results.json' is damaged"),
        ([], "Say RUN_FOLDER; see --help."),
        ([run, "--runs=0"], "runs"),
        ([run, "--output=/proc/nowhere/page.html"], "Cannot write to the output folder"),
        ([run, "--latency"], "is damaged, or no .keras file"),
        ([study, "--latency"], "--latency is for what train wrote"),
    ]
    command_lines.assert_user_errors("report", [], cases)
    assert not (run / "report.html").exists()


@pytest.mark.slow
def test_latency_is_measured_once(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="running .tflite needs ai-edge-litert")
    run = run_folders.write(tmp_path / "run", run_folders.results(1))
    for name in ("teacher", "student"):
        networks.small_convnet().save(run / f"{name}.keras")
    first, again, more = ([run, "--latency", f"--runs={count}"] for count in (3, 3, 4))
    outcomes = command_lines.run("report", first, [run], again, more)
    assert [(code, errors) for code, _, errors in outcomes] == [(0, "")] * 4
    assert ["Timing them." in shown for _, shown, _ in outcomes] == [True, False, False, True]
    kept = json.loads((run / "latency.json").read_text())
    digest = hashlib.sha256((run / "student.keras").read_bytes()).hexdigest()
    assert (kept["runs"], kept["threads"], kept["student_sha256"]) == (4, 1, digest)
    tables = dict(Page((run / "report.html").read_text()).tables)
    shown = tables["Milliseconds of one example"]
    assert [row[0] for row in shown] == ["model", "original", "student"]
    assert [row[1] for row in shown[1:]] == [
        f"{kept['models'][name]['median_ms']:.4f}" for name in ("original", "student")
    ]
