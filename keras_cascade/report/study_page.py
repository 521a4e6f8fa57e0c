"""A study as one HTML page that needs nothing but itself.

The page is built as a tree of elements and written by `xml.etree`, which escapes whatever text a
row holds. Every number in it comes from the rows.
"""

import base64
import pathlib
from xml.etree import ElementTree

from keras_cascade.report import study_findings
from keras_cascade.report.files import whole_file
from keras_cascade.report.study_plots import draw_study
from keras_cascade.report.study_summary import (
    cells_table,
    failed,
    finished,
    label,
    percent,
    summarise_cells,
    table_cells,
    table_header,
    write_csv,
)
from keras_cascade.typing import Path, Row

_STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --faint: #5c5c5c; --ground: #fff;
  --line: #d5d5d5; --band: #f4f4f4; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e6e6; --faint: #a8a8a8;
  --ground: #16181b; --line: #3a3d42; --band: #202328; } }
body { max-width: 80rem; margin: 0 auto; padding: 1rem; color: var(--text);
  background: var(--ground); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
p, li, dd { max-width: 46rem; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .35rem 1rem; }
dt { font-weight: 600; } dd { margin: 0; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { background: var(--band); padding: .6rem; white-space: pre-wrap; }
.table { overflow-x: auto; border: 1px solid var(--line); margin: 1rem 0; }
.table:focus-visible { outline: 2px solid; }
table { border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .4rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
thead th { white-space: normal; vertical-align: bottom; background: var(--band); }
th[scope=row], th.words, td.words { text-align: left; }
th.words, td.words { white-space: normal; }
td.long { white-space: normal; min-width: 16rem; text-align: left; }
th[scope=row] { position: sticky; left: 0; background: var(--ground); font-weight: 400; }
thead th:first-child { position: sticky; left: 0; }
figure { margin: 1.5rem 0; } figcaption { color: var(--faint); max-width: 46rem; }
img { max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line); }
@media (max-width: 40rem) { dl { display: block; } dd { margin-bottom: .5rem; }
  th[scope=row] { white-space: normal; min-width: 6.5rem; } }
@media print { :root { --text: #000; --faint: #333; --ground: #fff; --line: #999;
  --band: #eee; } @page { size: landscape; margin: 1cm; } body { max-width: none; padding: 0; }
  .table { overflow: visible; border: 0; } table { font-size: .55rem; }
  th, td { padding: .1rem .25rem; } th[scope=row] { position: static; white-space: normal; }
  img { max-height: 15cm; } figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; } }
"""

_DEFINITIONS = (
    (
        "removed",
        "Share of the teacher's params that the method was asked to remove or to set to zero.",
    ),
    ("seeds", "How many runs the means are over; a figure after ± is their standard deviation."),
    ("accuracy", "On the test split. The change is against the teacher of the same seed."),
    (
        "params left",
        "Effective params, those that are not zero, in percent of the teacher's. Both scores below "
        "count effective params too.",
    ),
    (
        "MACs left",
        "Multiply-accumulates of one example in percent of the teacher's. Weights that are zero "
        "are multiplied all the same, so weight pruning removes none.",
    ),
    ("gzip left", "Size of the LiteRT file under gzip, in percent of the teacher's."),
    (
        "latency ratio",
        "Median time of one example on LiteRT with one thread, divided by the teacher's. The two "
        "took turns in the same run, so that the ratio holds where the milliseconds do not.",
    ),
    (
        "Performance Efficiency",
        "A definition of our own: accuracy divided by the teacher's, times the share of the params "
        "that is gone. The name is that of Malihi & Heidemann, Appl. Syst. Innov. 7(4):56, 2024, "
        "whose formula was not at hand: these values cannot be compared with theirs.",
    ),
    (
        "NetScore",
        "Wong, arXiv 1806.05512: accuracy in percent, squared, divided by the square roots of the "
        "params in millions and of the MACs in billions, in decibels. Larger is better.",
    ),
    ("steps", "Training steps the method was given after the teacher."),
    ("seconds", "Wall-clock time of the run; it holds for the machine it ran on only."),
)


def write_study_report(
    rows: list[Row], folder: Path, *, title: str, command: str
) -> dict[str, pathlib.Path]:
    """Writes all there is to show of a study: tables, plots and a page.

    Args:
        rows: list of dicts, as a study writes them; one with "error" is listed as failed.
        folder: an existing folder.
        title: of the page.
        command: what ran the study; shown as it is.

    Returns:
        Dict from name to `pathlib.Path`: "results.csv", "table.md", "findings.md" (what stands
        out), "report.html" and a PNG each for the plots that there is something to show in. Each
        file is whole or as it was.

    Raises:
        ImportError: matplotlib is not installed (the extra `report`).
        ValueError: as `summarise_cells`.

    Example:

    ```python
    rows = [json.loads(line) for line in open("study/results.jsonl")]
    write_study_report(rows, "study", title="CIFAR-10", command="make study")
    ```
    """
    folder = pathlib.Path(folder)
    plots = draw_study(rows)
    contents = {"table.md": (cells_table(summarise_cells(rows)) + "\n").encode()}
    contents["findings.md"] = (study_findings.markdown(rows) + "\n").encode()
    contents |= {f"{name}.png": plot.png for name, plot in plots.items() if plot.png}
    contents["report.html"] = study_page(rows, plots, title=title, command=command).encode()
    paths = {"results.csv": folder / "results.csv"}
    write_csv(rows, paths["results.csv"])
    for name, content in contents.items():
        paths[name] = folder / name
        with whole_file(paths[name]) as temporary:
            temporary.write_bytes(content)
    return paths


def write_study_page(rows: list[Row], path: Path, *, title: str, command: str) -> None:
    """Writes the page alone.

    Args:
        rows: list of dicts, as a study writes them.
        path: of the HTML file.
        title: of the page.
        command: what ran the study; shown as it is.

    Raises:
        ImportError, ValueError: as `write_study_report`.
    """
    page = study_page(rows, draw_study(rows), title=title, command=command)
    with whole_file(path) as temporary:
        temporary.write_bytes(page.encode())


def study_page(rows, plots, *, title, command):
    """The page as a string.

    Args:
        rows: list of dicts, as a study writes them.
        plots: what `draw_study` made of them.
        title: of the page.
        command: what ran the study.

    Returns:
        HTML.
    """
    sections = [
        *_what_ran(rows, command),
        *_findings(rows),
        *_tables(rows),
        *_failures(rows),
        *_plots(plots),
    ]
    page = _element(
        "html",
        _element(
            "head",
            _element("meta", charset="utf-8"),
            _element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            _element("title", title),
            _element("style", _STYLE),
        ),
        _element("body", _element("main", _element("h1", title), *sections)),
        lang="en",
    )
    return "<!DOCTYPE html>\n" + ElementTree.tostring(page, encoding="unicode", method="html")


def _what_ran(rows, command):
    done = finished(rows)
    steps = sorted({row["steps"] for row in done})
    # Whole runs: teachers, evaluation and export included, where the study kept that.
    hours = sum(row.get("wall_seconds") or row.get("seconds") or 0 for row in rows) / 3600
    yield _element("h2", "What ran")
    if not done:
        yield _element("p", "No cell has finished.")
    yield _pairs(
        [
            ("Methods", "; ".join(label(method) for method in _distinct(done, "method"))),
            ("Models", ", ".join(_distinct(done, "model"))),
            ("Data sets", ", ".join(_distinct(done, "dataset"))),
            ("Removed, %", ", ".join(percent(a) for a in sorted(_distinct(done, "amount")) if a)),
            ("Seeds", ", ".join(map(str, sorted(_distinct(done, "seed"))))),
            ("Training steps of a run", ", ".join(f"{count:,}" for count in steps)),
            ("Runs", f"{len(done):,} finished, {len(failed(rows)):,} failed"),
            ("Time of all runs", f"{hours:.2f} hours together"),
            ("Settings", _shared(row["settings"] for row in done)),
            ("Versions", _shared(row["versions"] for row in done)),
        ]
    )
    yield _element("pre", _element("code", command))
    yield _element(
        "p",
        "The same number of steps is not the same amount of work: a step that trains several "
        "levels at once takes longer than one that trains a single network. The column seconds "
        "tells what each method took. Performance Efficiency is a definition of our own. ",
        _element("a", "What every column means", href="#columns"),
        ".",
    )


def _findings(rows):
    leaders = study_findings.leaders(rows)
    differences = study_findings.differences(rows)
    yield _element("h2", "What stands out")
    if not leaders:
        yield _element("p", "Nothing yet: no method that removes params has finished.")
        return
    yield _element("ul", *(_element("li", text) for text in study_findings.sentences(rows)))
    yield _element(
        "p",
        "One standard deviation over a few seeds tells where to look closer. It is no test of "
        "significance, and many settings are compared at once: some will stand out by chance.",
    )
    yield _table("Best method by mean accuracy", *study_findings.leaders_table(leaders))
    if differences:
        yield _table(
            "Differences in accuracy, points, paired by seed (number of pairs)",
            *study_findings.differences_table(differences),
        )
        yield _element(
            "p",
            "A cascade without assistants differs from one-shot pruning with distillation in more "
            "than one thing: it prunes step by step, by gradient saliency, and its teacher goes on "
            "learning.",
        )


def _tables(rows):
    by_panel = {}
    for cell in summarise_cells(rows):
        by_panel.setdefault(f"{cell['model']} on {cell['dataset']}", []).append(cell)
    yield _element("h2", "Results")
    yield _element("h3", "What the columns mean", id="columns")
    yield _pairs(_DEFINITIONS)
    for name, cells in by_panel.items():
        yield _table(name, table_header(), [table_cells(cell) for cell in cells])


def _failures(rows):
    lost = failed(rows)
    if lost:
        header = ["data set", "model", "method", "removed, %", "seed", "error"]
        texts = [
            [
                str(row.get("dataset", "-")),
                str(row.get("model", "-")),
                label(row.get("method", "-")),
                percent(row["amount"]) if "amount" in row else "-",
                str(row.get("seed", "-")),
                str(row["error"]),
            ]
            for row in lost
        ]
        yield _element("h2", "Runs that failed")
        yield _element("p", "They are in no mean and in no plot.")
        yield _table("Errors", header, texts)


def _plots(plots):
    yield _element("h2", "Plots")
    yield _element(
        "p",
        "Points are means over the seeds and bars their standard deviation; a line joins the "
        "amounts of one method. Markers are set slightly apart sideways so that methods of equal "
        "size do not hide each other.",
    )
    for plot in plots.values():
        if plot.png:
            source = f"data:image/png;base64,{base64.b64encode(plot.png).decode()}"
            caption = _element("figcaption", plot.title)
            yield _element("figure", _element("img", src=source, alt=plot.alt), caption)
        else:
            yield _element("p", f"{plot.title}: not drawn, since no row has the figure.")


def _table(caption, header, rows):
    """A table that scrolls in a box of its own; the first column names the rows."""
    numeric = [
        all(row[i] == "-" or row[i].lstrip("+-")[:1].isdigit() for row in rows)
        for i in range(len(header))
    ]

    def cell(i, text):
        if i == 0:
            return _element("th", text, scope="row")
        return _element("td", text, **_kind(text, numeric[i]))

    table = _element(
        "table",
        _element(
            "thead",
            _element(
                "tr",
                *(
                    _element("th", text, scope="col", **_kind(text, numeric[i] and i > 0))
                    for i, text in enumerate(header)
                ),
            ),
        ),
        _element("tbody", *(_element("tr", *map(cell, range(len(row)), row)) for row in rows)),
    )
    box = _element("div", table, role="region", tabindex="0")
    box.attrib |= {"class": "table", "aria-label": caption}
    return _element("section", _element("h3", caption), box)


def _kind(text, numeric):
    if numeric:
        return {}
    return {"class": "long" if len(text) > 60 else "words"}


def _pairs(pairs):
    children = []
    for term, text in pairs:
        if text:
            children += [_element("dt", term), _element("dd", text)]
    return _element("dl", *children)


def _shared(dicts):
    """Names and values of flat dicts as text; several values where they differ."""
    values = {}
    for each in dicts:
        for name, value in each.items():
            values.setdefault(name, {})[str(value)] = None
    return "; ".join(f"{name} = {' or '.join(found)}" for name, found in values.items())


def _distinct(rows, key):
    return list(dict.fromkeys(row[key] for row in rows))


def _element(tag, *children, **attributes):
    """An element with text and elements inside, as they come."""
    element = ElementTree.Element(tag, attributes)
    for child in children:
        if not isinstance(child, str):
            element.append(child)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + child
        else:
            element.text = (element.text or "") + child
    return element
