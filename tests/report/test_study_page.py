"""The page of a study: whole, escaped, and without a number that its rows do not give."""

import base64
import html.parser
import re

import numpy as np
import pytest
from study_rows import METHODS, many_rows, row

import keras_cascade as kc
from keras_cascade import report
from keras_cascade.report.study_page import study_page

pytest.importorskip("matplotlib", reason="plots need matplotlib")

NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)*")
# Names of methods, citations.
CITED = set("1 2 3 7 4 56 2024 1806.05512".split())
TEXT = {"title": "A study", "command": "make study"}
PLOTS = {
    "accuracy_params", "accuracy_macs", "accuracy_gzip", "accuracy_latency",
    "performance_efficiency",
}  # fmt: skip


class _Page(html.parser.HTMLParser):
    """Text outside of style, the table cells, and the pictures of a page."""

    def __init__(self, page):
        super().__init__()
        self.text, self.images, self.cells, self.tags = [], [], [], [""]
        self._skipped = False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._skipped = tag == "style"
        if tag == "img":
            self.images.append(dict(attributes))

    def handle_endtag(self, tag):
        self._skipped = False

    def handle_data(self, data):
        if not self._skipped:
            self.text.append(data)
            self.cells += [data] if self.tags[-1] in ("td", "th") else []


def _page(rows, **changed):
    return _Page(study_page(rows, {}, **(TEXT | changed)))


def _numbers(rows):
    return set(NUMBER.findall(" ".join(_page(rows).text)))


def _derivable(rows):
    """Every number that a page on these rows may show, worked out with NumPy."""
    accuracies, strings = {}, set()
    cells = {}
    for each in rows:
        key = each["dataset"], each["model"], each["amount"]
        accuracies.setdefault((*key, each["method"]), {})[each["seed"]] = 100 * each["accuracy"]
        cells.setdefault((*key, each["method"]), []).append(each)
        strings |= {str(each["seed"]), f"{each['steps']:,}", f"{100 * each['amount']:g}"}
        for nested in (each["settings"], each["versions"]):
            strings |= set(NUMBER.findall(" ".join(map(str, nested.values()))))
        strings |= set(NUMBER.findall(each["model"] + each["dataset"]))
    for group in cells.values():
        of = {name: np.array([each[name] for each in group]) for name in group[0]}
        share = of["nonzero_params"] / of["teacher_params"]
        netscores = [
            kc.netscore(each["accuracy"], each["nonzero_params"], each["macs"]) for each in group
        ]
        for values, form in (
            (100 * of["accuracy"], ".2f"),
            (100 * (of["accuracy"] - of["teacher_accuracy"]), ".2f"),
            (100 * share, ".1f"),
            (100 * of["macs"] / of["teacher_macs"], ".1f"),
            (100 * of["gzipped_bytes"] / of["teacher_gzipped_bytes"], ".1f"),
            (of["latency_ms"] / of["teacher_latency_ms"], ".2f"),
            (of["accuracy"] / of["teacher_accuracy"] * (1 - share), ".3f"),
            (np.array(netscores), ".1f"),
            (of["seconds"], ",.1f"),
            (of["steps"], ",.0f"),
        ):
            strings |= {f"{abs(values.mean()):{form}}", f"{values.std(ddof=1):{form}}"}
        strings.add(str(len(group)))
    for key, one in accuracies.items():
        for other_key, other in accuracies.items():
            if key[:3] == other_key[:3] and key != other_key:
                gaps = np.array([one[seed] - other[seed] for seed in one])
                strings |= {f"{abs(gaps.mean()):.2f}", f"{gaps.std(ddof=1):.2f}"}
    settings = {key[:3] for key in cells if key[2] > 0}
    counts = {str(count) for count in range(len(settings) + 1)}  # of settings, in the sentences
    hours = sum(each["seconds"] for each in rows) / 3600
    return strings | counts | {f"{len(rows):,}", f"{hours:.2f}"}


@pytest.mark.parametrize("seed", [1, 2])
def test_every_number_comes_from_the_rows(seed):
    rows = many_rows(seed)
    shown = _numbers(rows)
    assert len(shown) > 200
    assert shown <= _derivable(rows) | CITED


def test_another_study_gives_another_page():
    """Of the accuracies, and of all other measured numbers, none is left over."""
    first, second = many_rows(1), [each | {"steps": 641} for each in many_rows(2)]
    stale = _derivable(first) - _derivable(second) - CITED
    assert len(stale) > 200 and "640" in stale
    assert not _numbers(second) & stale


def test_names_come_from_the_rows_too():
    rows = [row(method="cascade_9", model="mine", dataset="theirs")]
    text = " ".join(_page(rows).text)
    assert "cascade_9" in text and "mine on theirs" in text
    assert "resnet20" not in text and "student by distillation" not in text
    assert _numbers([]) <= CITED | {"0", "0.00"}  # runs and hours


def test_text_of_rows_is_escaped():
    bad = '<script>alert("1")</script> & <b>'
    failed = {"model": bad, "dataset": bad, "method": bad, "amount": 0.5, "seed": 1, "error": bad}
    rows = [row(model=bad, dataset=bad, settings={bad: bad}, versions={bad: bad}), failed]
    page = _page(rows, title=bad, command=bad)
    assert not {"script", "b"} & set(page.tags)
    assert " ".join(page.text).count(bad) >= 10
    for each in report.draw_study(rows[:1]).values():
        assert bad in each.alt
    with_images = _Page(study_page(rows, report.draw_study(rows), **TEXT))
    assert bad in with_images.images[0]["alt"] and "script" not in with_images.tags


def test_failed_runs_are_listed_and_in_no_mean():
    rows = many_rows(1, models=("resnet20",), seeds=(0, 1))
    failed = row("cascade_1", 0.75, seed=9) | {"error": "loss is nan"}
    failed = {name: failed[name] for name in ("model", "method", "amount", "seed", "error")}
    with_failed, without = _page([*rows, failed]), _page(rows)
    assert "loss is nan" in with_failed.cells and "Runs that failed" in with_failed.text
    assert "Runs that failed" not in without.text
    assert set(without.cells) <= set(with_failed.cells)
    # 2 unpruned networks and 8 methods at 2 amounts, with 2 seeds each.
    assert "36 finished, 1 failed" in with_failed.text


def test_report_writes_everything_whole(tmp_path):
    rows = many_rows(3, models=("resnet20",), seeds=(0, 1))
    paths = report.write_study_report(rows, tmp_path, **TEXT)
    texts = {"results.csv", "table.md", "findings.md", "report.html"}
    assert set(paths) == texts | {f"{name}.png" for name in PLOTS}
    assert {path.name for path in tmp_path.iterdir()} == set(paths)
    assert all(paths[name] == tmp_path / name for name in paths)
    page = _Page(paths["report.html"].read_text())
    sources = [image["src"].partition("base64,")[2] for image in page.images]
    pngs = {path.read_bytes() for name, path in paths.items() if name.endswith(".png")}
    assert {base64.b64decode(source) for source in sources} == pngs and len(pngs) == len(PLOTS)
    assert all("resnet20 on cifar10" in image["alt"] for image in page.images)
    assert "http" not in paths["report.html"].read_text()
    table = paths["table.md"].read_text()
    assert len(table.splitlines()) == 2 + 2 + 8 * 2
    for line in table.splitlines()[2:]:  # the page shows what the table does
        assert set(line.strip("| ").split(" | ")[2:]) <= set(page.cells)
    report.write_study_page(rows, tmp_path / "page.html", **TEXT)
    assert (tmp_path / "page.html").read_bytes() == paths["report.html"].read_bytes()


def test_plots_without_figures_are_not_drawn(tmp_path):
    rows = [row(method, macs=None, teacher_macs=None, latency_ms=None) for method in METHODS[2:]]
    paths = report.write_study_report(rows, tmp_path, **TEXT)
    assert {name for name in paths if name.endswith(".png")} == {
        "accuracy_params.png", "accuracy_gzip.png", "performance_efficiency.png"
    }  # fmt: skip
    text = _Page(paths["report.html"].read_text()).text
    assert sum("not drawn, since no row has the figure" in each for each in text) == 2


def test_a_study_that_has_just_begun(tmp_path):
    paths = report.write_study_report([row("teacher", 0.0, accuracy=0.8)], tmp_path, **TEXT)
    assert not [name for name in paths if name.endswith(".png")]
    assert "Nothing yet" in paths["report.html"].read_text()
    paths = report.write_study_report([], tmp_path, **TEXT)
    assert "No cell has finished" in paths["report.html"].read_text()


@pytest.mark.slow
def test_plots_hold_a_marker_for_every_method(monkeypatch):
    """What matplotlib was given: all methods in every panel, means and spreads as summarised."""
    figures = []
    from keras_cascade.report import study_plots

    new_figure = study_plots.new_figure
    monkeypatch.setattr(
        study_plots, "new_figure", lambda *size: figures.append(new_figure(*size)) or figures[-1]
    )
    rows = many_rows(4)
    rows += [each | {"model": "vgg16", "latency_ms": None} for each in many_rows(5, ("x",))]
    report.draw_study(rows)
    summary = report.summarise_cells(rows)
    assert len(figures) == len(PLOTS)
    for figure, share in zip(
        figures, ("params_share", "macs_share", "gzip_share", "latency_ratio"), strict=False
    ):
        panels = [axes for axes in figure.axes if axes.get_visible()]
        assert [axes.get_title() for axes in panels] == [
            f"{model} on cifar10" for model in ("resnet20", "densenet", "vgg16")
        ]
        for axes, model in zip(panels, ("resnet20", "densenet", "vgg16"), strict=True):
            drawn = {c.get_label(): c.lines[0].get_xydata().tolist() for c in axes.containers}
            expected = {}
            for cell in summary:
                if cell["model"] == model and cell["amount"] and cell[share] is not None:
                    name = report.METHODS[cell["method"]]
                    expected.setdefault(name, []).append([cell[share], cell["accuracy"]])
            assert drawn == expected
            assert len(drawn) == (0 if (model, share) == ("vgg16", "latency_ratio") else 8)
    bars = [patch.get_width() for axes in figures[-1].axes for patch in axes.patches]
    pruned = [cell["performance_efficiency"] for cell in summary if cell["amount"]]
    assert sorted(bars) == pytest.approx(sorted(pruned))
