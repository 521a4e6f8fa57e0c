"""A run of `keras-cascade train` as one HTML page; every number comes from the run's folder."""

import pathlib

from keras_cascade.report.files import whole_file
from keras_cascade.report.html_page import (
    command,
    element,
    figures,
    pairs,
    svg_figure,
    table,
    whole_page,
)
from keras_cascade.report.plots import level_style
from keras_cascade.report.run_folder import read_run
from keras_cascade.report.run_plots import BUDGETS, draw_curves, draw_pareto, draw_saliency
from keras_cascade.typing import Path

_ROWS = (
    ("original", "the teacher before the cascade"),
    ("teacher", "level 0 of the cascade"),
    ("ta1, ta2, ...", "assistants, before any recovery"),
    ("student", "the smallest level, after recovery"),
    (
        "l1_finetuned",
        "the yardstick: the original, pruned once by L1 with the same fraction in every layer to "
        "the same budget, and fine-tuned with distillation on as many images",
    ),
)


def write_run_report(folder: Path, path: Path | None = None) -> pathlib.Path:
    """Writes the page of a run.

    Args:
        folder: the run's output folder.
        path: of the HTML file; None: report.html in the folder.

    Returns:
        The page's `pathlib.Path`; it is whole or as it was.

    Raises:
        ImportError: matplotlib is not installed (the extra `report`).
        ValueError: see `read_run`.
        OSError: the page cannot be written.

    Example:

    ```python
    from keras_cascade import report

    report.write_run_report("runs/demo")
    ```
    """
    path = pathlib.Path(folder, "report.html") if path is None else pathlib.Path(path)
    page = run_page(read_run(folder))
    with whole_file(path) as temporary:
        temporary.write_bytes(page.encode())
    return path


def run_page(run):
    """The page as a string.

    Args:
        run: as `read_run` gives it. Sections whose data is missing are left out or say so.

    Returns:
        HTML.

    Raises:
        ImportError: matplotlib is not installed (the extra `report`).
    """
    return whole_page(
        _title(run.get("configuration", {})),
        [
            *_results(run["rows"]),
            *_curves(run),
            *_pareto(run["rows"]),
            *_channels(run.get("cascade")),
            *_saliency(run.get("cascade")),
            *_sizes(run),
            *_latency(run["latency"]),
            *_what_ran(run),
        ],
    )


def _title(configuration):
    model = configuration.get("teacher") or configuration.get("model")
    if model is None:
        return "A cascade"
    return f"Cascade of {model} on {configuration.get('dataset')}"


def _results(rows):
    by_name = {row["name"]: row for row in rows}
    original = by_name.get("original", rows[0])
    header = [
        "model", "test accuracy, %", f"points below {original['name']}", "params left, %",
        "MACs left, %",
    ]  # fmt: skip
    yield element("h2", "Results")
    yield table(
        "Every model on the test split",
        header,
        [
            [
                row["name"],
                f"{100 * row['accuracy']:.2f}",
                f"{100 * (original['accuracy'] - row['accuracy']):.2f}",
                _share(row["params"], original["params"]),
                _share(row["macs"], original["macs"]),
            ]
            for row in rows
        ],
    )
    yield pairs(_ROWS)


def _curves(run):
    history = run.get("history") or {}
    yield element("h2", "The cascade over the epochs")
    plots = draw_curves(history)
    if not plots:
        yield element("p", "The run kept no logs.")
        return
    epochs, logged = run.get("configuration", {}).get("epochs"), len(history["loss"])
    if epochs not in (None, logged):
        yield element(
            "p",
            f"{logged} of {epochs} epochs have logs: the run was broken off while it evaluated "
            "the others, whose training counts all the same.",
        )
    yield element(
        "p",
        "The loss of a level that is guided is its labels' loss and the divergence from its "
        "guides, weighted by alpha. Recovery after the cascade is not in these curves.",
    )
    yield _figures(plots)


def _pareto(rows):
    yield element("h2", "Accuracy against MACs")
    if any(row["macs"] is None for row in rows):
        yield element("p", "Not drawn: the input size is open, and with it the MACs.")
        return
    yield _figures([draw_pareto(rows)])


def _channels(cascade):
    yield element("h2", "Channels kept")
    if cascade is None:
        yield element("p", "The run did not record them.")
        return
    pruned = [level for level in cascade["levels"] if level["to_remove"] is not None]
    yield element(
        "p",
        "A row is a channel group: the channels of one or more layers that can only be removed "
        "together. A frame is the group before the cascade, what is filled is what a level keeps.",
    )
    yield table(
        "Channels of every group",
        ["group", "before", *(level["name"] for level in pruned)],
        [
            [
                _group_name(group),
                f"{group['size']:,}",
                *(_bar(level, group) for level in pruned),
            ]
            for group in cascade["groups"]
        ],
    )


def _group_name(group):
    """The group's name, who else makes its channels, and why it is kept whole if it is."""
    others = [name for name in group["made_by"] if name != group["name"]]
    more = [f"with {', '.join(others[:3])}{_and_more(others[3:])}"] if others else []
    more += [] if group["prunable"] else [f"kept whole: {group['reason']}"]
    return element("span", group["name"], *(element("small", text) for text in more))


def _and_more(names):
    return f" and {len(names)} more" if names else ""


def _bar(level, group):
    kept, colour = level["kept"][group["name"]], level_style(level["name"])[0]
    filled = element(
        "span", style=f"width: {100 * kept / group['size']:.1f}%; background: {colour}"
    )
    frame = element("span", filled)
    frame.set("class", "bar")
    return element("span", f"{kept:,}", frame)


def _saliency(cascade):
    yield element("h2", "Saliency")
    if cascade is None:
        yield element("p", "The run did not record it.")
        return
    yield element(
        "p",
        "Of every prunable channel at the end of the cascade: the moving average of the squared "
        "first-order change of the level's own loss when the channel goes.",
    )
    if cascade["scope"] == "global" and cascade["budget"] != "channels":
        cost = BUDGETS.get(cascade["budget"], cascade["budget"])
        yield element(
            "p",
            f"Channels are removed by saliency per cost in {cost}, and so not all of the least "
            "salient ones are.",
        )
    yield _figures(draw_saliency(cascade))


def _sizes(run):
    rows = run["rows"]
    columns = [
        ("params", "params"),
        ("nonzero_params", "params not zero"),
        ("macs", "MACs"),
        ("bytes", "bytes of the weights"),
    ]
    there = [(key, title) for key, title in columns if any(key in row for row in rows)]
    yield element("h2", "Sizes")
    yield table(
        "Models",
        ["model", *(title for _, title in there)],
        [[row["name"], *(_count(row.get(key)) for key, _ in there)] for row in rows],
    )
    if run["files"]:
        yield table(
            "Files",
            ["file", "bytes"],
            [[name, _count(size)] for name, size in run["files"].items()],
        )


def _latency(found):
    yield element("h2", "Latency")
    if found is None:
        yield element("p", "Not measured: keras-cascade report RUN_FOLDER --latency does.")
        return
    first = next(iter(found["models"].values()))["median_ms"]
    yield element(
        "p",
        f"One example on LiteRT with {found['threads']} thread{'s' * (found['threads'] > 1)}, "
        f"{found['runs']:,} timed runs of each model, in turns. The ratio holds where the "
        "milliseconds, which are those of one machine, do not.",
    )
    yield table(
        "Milliseconds of one example",
        ["model", "median", "p10", "p90", "ratio of medians"],
        [
            [
                name,
                *(f"{each[key]:.4f}" for key in ("median_ms", "p10_ms", "p90_ms")),
                f"{each['median_ms'] / first:.2f}",
            ]
            for name, each in found["models"].items()
        ],
    )
    yield pairs([("Measured on", _listed(found["versions"]))])


def _what_ran(run):
    configuration = run.get("configuration", {})
    seeds = dict.fromkeys(str(row["seed"]) for row in run["rows"] if "seed" in row)
    seconds = run.get("seconds")
    yield element("h2", "What ran")
    if run.get("command"):
        yield command(run["command"])
    yield pairs(
        [
            ("Seed", ", ".join(seeds)),
            ("Seconds", "" if seconds is None else f"{seconds:,.1f}{_of_what(run)}"),
            ("Settings", _listed(configuration)),
            ("Versions", _listed(run.get("versions", {}))),
        ]
    )


def _of_what(run):
    return ", since it was last gone on with" if run.get("resumed") else ""


def _figures(plots):
    return figures(svg_figure(plot.svg, plot.caption) for plot in plots)


def _share(value, whole):
    return "-" if value is None or not whole else f"{100 * value / whole:.1f}"


def _count(value):
    return "-" if value is None else f"{value:,}"


def _listed(values):
    return "; ".join(
        f"{name} = {','.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in values.items()
    )
