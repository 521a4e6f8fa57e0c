"""Plots of one run for its page: the levels' curves, accuracy against MACs, saliency.

Each is narrow enough to be read on a phone; where there is room they stand side by side.
"""

import dataclasses
import typing
from xml.etree.ElementTree import Element

from keras_cascade.report.inline_svg import inline_svg
from keras_cascade.report.plots import draw_accuracy_against_macs, level_style, new_figure

_WIDTH, _HEIGHT = 4.6, 3.2  # inches
_KEPT, _REMOVED = "#1f77b4", "#d62728"
BUDGETS = {
    "macs": "MACs",
    "params": "params",
    "channels": "prunable channels",
    "latency": "latency",
}


@dataclasses.dataclass(frozen=True)
class RunPlot:
    """One plot.

    Attributes:
        caption: what it shows.
        svg: the element, with what it shows in words for who does not see it.
    """

    caption: str
    svg: Element


class _Curves(typing.NamedTuple):
    name: str
    caption: str
    axis: str
    of_level: str  # how a level's log is called
    of_student: str  # and the student's
    factor: float
    form: str


_CURVES = (
    _Curves(
        "val_accuracy",
        "Accuracy on the test split",
        "accuracy, %",
        "val_{}_accuracy",
        "val_accuracy",
        100.0,
        ".2f",
    ),
    _Curves(
        "accuracy",
        "Accuracy in training",
        "accuracy, %",
        "{}_accuracy",
        "accuracy",
        100.0,
        ".2f",
    ),
    _Curves(
        "val_loss",
        "Loss on the test split",
        "loss",
        "val_{}_loss",
        "val_student_loss",
        1.0,
        ".4f",
    ),
    _Curves("loss", "Loss in training", "loss", "{}_loss", "student_loss", 1.0, ".4f"),
    *(
        _Curves(
            budget,
            f"{title[0].upper()}{title[1:]} left",
            f"{title} left, %",
            f"{{}}_{budget}",
            f"student_{budget}",
            100.0,
            ".1f",
        )
        for budget, title in BUDGETS.items()
    ),
    _Curves(
        "flips",
        "Channels whose mask changed",
        "channels in the epoch",
        "{}_flips",
        "student_flips",
        1.0,
        ".0f",
    ),
)


def level_names(history):
    """The levels that a run's logs are of: list of str, the teacher first."""
    named = [name.removesuffix("_loss") for name in history if name.endswith("_loss")]
    levels = [name for name in named if not name.startswith("val") and name != "student"]
    order = sorted(levels, key=lambda name: (name != "teacher", len(name), name))
    return [*order, *(["student"] if "student_loss" in history else [])]


def draw_curves(history):
    """A plot for each thing that was logged of every epoch, a line a level.

    Args:
        history: dict from the name of a log to a list with a value an epoch.

    Returns:
        List of `RunPlot`; what was not logged is not drawn.

    Raises:
        ImportError: matplotlib is not installed (the extra `report`).
    """
    plots = []
    for curves in _CURVES:
        series = {}
        for level in level_names(history):
            log = curves.of_student if level == "student" else curves.of_level.format(level)
            if history.get(log):
                series[level] = [curves.factor * value for value in history[log]]
        if series:
            plots.append(_draw_series(curves, series))
    return plots


def draw_pareto(rows):
    """Accuracy against MACs of all models of a run, the yardsticks among them.

    Args:
        rows: list of dicts with name, accuracy (in [0, 1]) and macs.

    Returns:
        `RunPlot`.

    Raises:
        ImportError: matplotlib is not installed (the extra `report`).
    """
    figure = new_figure(_WIDTH, _HEIGHT + 0.6)
    axes = _axes(figure)
    draw_accuracy_against_macs(axes, rows)
    _legend(figure, columns=2)
    points = "; ".join(
        f"{row['name']} {100 * row['accuracy']:.2f}% at {row['macs']:,} MACs" for row in rows
    )
    caption = "Test accuracy against the MACs of one example"
    return RunPlot(caption, inline_svg(figure, "pareto", f"{caption}: {points}."))


def draw_saliency(cascade):
    """The distribution of each level's saliency, of kept and of removed channels.

    Args:
        cascade: what `level_records` returned.

    Returns:
        List of `RunPlot`, one a level but the teacher.

    Raises:
        ImportError: matplotlib is not installed (the extra `report`).
    """
    edges = cascade["log10_saliency_edges"]
    plots = []
    for level in cascade["levels"]:
        if level["saliency"] is None:
            continue
        figure = new_figure(_WIDTH, _HEIGHT)
        axes = _axes(figure)
        for kind, colour, hatch in (("kept", _KEPT, None), ("removed", _REMOVED, "////")):
            counts = level["saliency"][kind]
            axes.stairs(
                counts, edges, fill=hatch is None, color=colour, alpha=0.6, hatch=hatch, label=kind
            )
        axes.set_xlabel("log10 of the saliency")
        axes.set_ylabel("channels")
        axes.set_ylim(bottom=0)
        axes.yaxis.get_major_locator().set_params(integer=True)
        _legend(figure, columns=2)
        totals = {kind: sum(level["saliency"][kind]) for kind in ("kept", "removed")}
        caption = (
            f"{level['name']}: {totals['kept']:,} kept and {totals['removed']:,} removed channels; "
            f"{level['saliency']['zeros']:,} more without any saliency"
        )
        alt = f"Saliency from 1e{edges[0]:.1f} to 1e{edges[-1]:.1f}. {caption}."
        plots.append(RunPlot(caption, inline_svg(figure, f"saliency-{level['name']}", alt)))
    return plots


def _draw_series(curves, series):
    figure = new_figure(_WIDTH, _HEIGHT)
    axes = _axes(figure)
    for level, values in series.items():
        colour, marker = level_style(level)
        few = len(values) <= 30
        axes.plot(
            range(1, len(values) + 1),
            values,
            color=colour,
            marker=marker,
            markersize=7 if marker == "*" else 4,
            markevery=1 if few else max(1, len(values) // 15),
            linewidth=1.3,
            label=level,
        )
    axes.set_xlabel("epoch of the cascade")
    axes.set_ylabel(curves.axis)
    axes.xaxis.get_major_locator().set_params(integer=True)
    _legend(figure, columns=5)
    changes = "; ".join(
        f"{level} from {values[0]:{curves.form}} to {values[-1]:{curves.form}}"
        for level, values in series.items()
    )
    alt = f"{curves.caption} over the epochs, {curves.axis}: {changes}."
    return RunPlot(curves.caption, inline_svg(figure, f"curves-{curves.name}", alt))


def _axes(figure):
    axes = figure.add_subplot()
    axes.grid(alpha=0.4)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _legend(figure, columns):
    figure.legend(loc="outside lower center", ncols=columns, fontsize=9, frameon=False)
