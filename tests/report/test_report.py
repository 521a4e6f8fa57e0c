"""Results that are whole, plots that show what they should, tables, progress."""

import json
import os

import keras
import networks
import pytest

from keras_cascade import report
from keras_cascade.table import text_table


def test_json_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "results.json"
    report.write_json(path, {"rows": [1]})
    with pytest.raises(TypeError):
        report.write_json(path, {"rows": object()})
    assert json.loads(path.read_text()) == {"rows": [1]}
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_a_file_that_fails_halfway_is_as_it_was(tmp_path):
    path = tmp_path / "page.html"
    for content in ("old", "new"):
        with report.whole_file(path) as temporary:
            temporary.write_text(content)
    with pytest.raises(ZeroDivisionError), report.whole_file(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_replaced_may_be_read_by_whom_it_might(tmp_path):
    path = tmp_path / "train.sh"
    path.write_text("old")
    path.chmod(0o750)
    with report.whole_file(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new" and path.stat().st_mode & 0o777 == 0o750


def test_a_link_to_a_file_stays_one(tmp_path):
    target, link = tmp_path / "page.html", tmp_path / "latest"
    link.symlink_to(target)
    with report.whole_file(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink() and target.read_text() == "new"


def test_writable_folder(tmp_path):
    assert report.writable_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Cannot write to the output folder.*file"):
        report.writable_folder(tmp_path / "file")
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere: the read-only folder cannot be tried")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OSError, match="Cannot write"):
        report.writable_folder(tmp_path / "locked")


def test_plot_shows_every_row(tmp_path):
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    rows = [
        {"name": name, "accuracy": 0.9, "macs": macs}
        for name, macs in (("original", 10), ("teacher", 10), ("ta1", 6), ("student", 3))
    ]
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    report.plot_accuracy_against_macs(rows[:1], small, "one")
    report.plot_accuracy_against_macs(rows, large, "all")
    assert small.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert large.stat().st_size > small.stat().st_size


def test_versions_name_what_results_depend_on():
    found = report.versions()
    assert found["keras"] == keras.__version__
    assert {"tensorflow", "keras_cascade", "python", "backend", "cpus"} <= set(found)


def test_progress_shows_the_chosen_logs(capsys):
    model = networks.small_convnet()
    model.compile("sgd", "mse", metrics=["mae"])
    x, _ = networks.examples_for(model, 8)
    progress = report.EpochProgress("teacher", ["loss", "val_loss"])
    model.fit(
        x,
        model.predict(x, verbose=0),
        epochs=2,
        verbose=0,
        callbacks=[progress],
        validation_split=0.5,
    )
    printed = capsys.readouterr().out
    assert "teacher, epoch 1/2" in printed and "teacher, epoch 2/2" in printed
    assert "val_loss" in printed and "mae" not in printed


def test_text_table():
    table = text_table(["name", "count"], [["a", "1,200"], ["long name", "7"]])
    assert table.splitlines() == [
        "name       count",
        "---------  -----",
        "a          1,200",
        "long name      7",
    ]
