"""A study as one HTML page that needs nothing but itself; every number comes from the rows."""

import pathlib

from keras_cascade.report import html_page, study_findings
from keras_cascade.report.files import whole_file
from keras_cascade.report.html_page import element, pairs, png_figure, table, whole_page
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

STUDY = "study.json"  # beside the rows: title and command
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
    return whole_page(title, sections)


def _what_ran(rows, command):
    done = finished(rows)
    steps = sorted({row["steps"] for row in done})
    # Whole runs: teachers, evaluation and export included, where the study kept that.
    hours = sum(row.get("wall_seconds") or row.get("seconds") or 0 for row in rows) / 3600
    yield element("h2", "What ran")
    if not done:
        yield element("p", "No cell has finished.")
    yield pairs(
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
    yield html_page.command(command)
    yield element(
        "p",
        "The same number of steps is not the same amount of work: a step that trains several "
        "levels at once takes longer than one that trains a single network. The column seconds "
        "tells what each method took. Performance Efficiency is a definition of our own. ",
        element("a", "What every column means", href="#columns"),
        ".",
    )


def _findings(rows):
    leaders = study_findings.leaders(rows)
    differences = study_findings.differences(rows)
    yield element("h2", "What stands out")
    if not leaders:
        yield element("p", "Nothing yet: no method that removes params has finished.")
        return
    yield element("ul", *(element("li", text) for text in study_findings.sentences(rows)))
    yield element(
        "p",
        "One standard deviation over a few seeds tells where to look closer. It is no test of "
        "significance, and many settings are compared at once: some will stand out by chance.",
    )
    yield table("Best method by mean accuracy", *study_findings.leaders_table(leaders))
    if differences:
        yield table(
            "Differences in accuracy, points, paired by seed (number of pairs)",
            *study_findings.differences_table(differences),
        )
        yield element(
            "p",
            "A cascade without assistants differs from one-shot pruning with distillation in more "
            "than one thing: it prunes step by step, by gradient saliency, and its teacher goes on "
            "learning.",
        )


def _tables(rows):
    by_panel = {}
    for cell in summarise_cells(rows):
        by_panel.setdefault(f"{cell['model']} on {cell['dataset']}", []).append(cell)
    yield element("h2", "Results")
    yield element("h3", "What the columns mean", id="columns")
    yield pairs(_DEFINITIONS)
    for name, cells in by_panel.items():
        yield table(name, table_header(), [table_cells(cell) for cell in cells])


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
        yield element("h2", "Runs that failed")
        yield element("p", "They are in no mean and in no plot.")
        yield table("Errors", header, texts)


def _plots(plots):
    yield element("h2", "Plots")
    yield element(
        "p",
        "Points are means over the seeds and bars their standard deviation; a line joins the "
        "amounts of one method. Markers are set slightly apart sideways so that methods of equal "
        "size do not hide each other.",
    )
    for plot in plots.values():
        if plot.png:
            yield png_figure(plot.png, plot.alt, plot.title)
        else:
            yield element("p", f"{plot.title}: not drawn, since no row has the figure.")


def _shared(dicts):
    """Names and values of flat dicts as text; several values where they differ."""
    values = {}
    for each in dicts:
        for name, value in each.items():
            values.setdefault(name, {})[str(value)] = None
    return "; ".join(f"{name} = {' or '.join(found)}" for name, found in values.items())


def _distinct(rows, key):
    return list(dict.fromkeys(row[key] for row in rows))
