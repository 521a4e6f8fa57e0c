"""Plots of a study: accuracy against each thing that is saved, and Performance Efficiency.

One panel a data set and model. The unpruned networks are horizontal lines, so that the axis has
room for the others. Methods of equal size would hide each other: their markers are set apart by a
few points on paper, which moves no number.
"""

import dataclasses
import functools
import io
import math
import typing

from keras_cascade.report.plots import new_figure
from keras_cascade.report.study_summary import METHODS, label, percent, summarise_cells
from keras_cascade.typing import Row

# Okabe & Ito's colours, which differ for colour-blind readers too; one family, one hue.
_STYLE = {
    "distillation": ("#CC79A7", "P"),
    "weight_pruning": ("#E69F00", "v"),
    "weight_pruning_distilled": ("#D55E00", "^"),
    "channel_pruning": ("#56B4E9", "X"),
    "channel_pruning_distilled": ("#0072B2", "D"),
    "cascade_0": ("#B9E4D6", "d"),
    "cascade_1": ("#7FD1B9", "o"),
    "cascade_2": ("#009E73", "s"),
    "cascade_3": ("#00513B", "p"),
    "cascade_4": ("#002A1F", "h"),
    "pruned_from_scratch": ("#F0E442", "<"),
}
_OTHER_STYLE = ("#7F7F7F", "*")
_LINES = {"teacher": "--", "dense": ":"}
_AMOUNT_SHADES = ("#9ECAE1", "#3182BD", "#08306B", "#6BAED6", "#DEEBF7")


class _Axis(typing.NamedTuple):
    figure: str
    title: str
    least_span: float  # so that a hair's breadth of difference does not fill the axis
    apart: float  # points on paper between the markers of neighbouring methods


_AXES = {
    "accuracy_params": _Axis("params_share", "effective params left, % of the teacher's", 10, 3),
    "accuracy_macs": _Axis("macs_share", "MACs left, % of the teacher's", 10, 1),
    "accuracy_gzip": _Axis("gzip_share", "gzipped LiteRT file, % of the teacher's", 10, 1),
    "accuracy_latency": _Axis("latency_ratio", "latency, ratio to the teacher's", 0.1, 1),
}


@dataclasses.dataclass(frozen=True)
class StudyPlot:
    """One plot.

    Attributes:
        title: what it shows.
        alt: the same for who does not see it.
        png: the picture as bytes; None where there is nothing to show.
    """

    title: str
    alt: str
    png: bytes | None


def draw_study(rows: list[Row]) -> dict[str, StudyPlot]:
    """Draws every plot of a study.

    Args:
        rows: list of dicts, as a study writes them.

    Returns:
        Dict from name (accuracy_params, accuracy_macs, accuracy_gzip, accuracy_latency,
        performance_efficiency) to a `StudyPlot`. One whose figure no row has is not drawn.

    Raises:
        ImportError: matplotlib is not installed (the extra `report`).
    """
    summary = summarise_cells(rows)
    names = list(dict.fromkeys((cell["dataset"], cell["model"]) for cell in summary))
    there = f"panels: {', '.join(f'{model} on {dataset}' for dataset, model in names)}"
    plots = {}
    for name, axis in _AXES.items():
        draw = functools.partial(_draw_accuracy, axis=axis)
        title = f"Test accuracy against {axis.title}"
        plots[name] = StudyPlot(title, f"{title}; {there}.", _draw(summary, axis.figure, draw))
    name, title = "performance_efficiency", "Performance Efficiency by method and amount"
    draw = functools.partial(_draw_bars, name=name, summary=summary)
    plots[name] = StudyPlot(title, f"{title}; {there}.", _draw(summary, name, draw))
    return plots


def _draw(summary, figure_name, draw_panel):
    """A panel for each data set and model, in a grid as square as three columns allow."""
    if all(cell[figure_name] is None for cell in _pruned(summary)):
        return None
    panels = {}
    for cell in summary:
        panels.setdefault(f"{cell['model']} on {cell['dataset']}", []).append(cell)
    columns = min(math.ceil(math.sqrt(len(panels))), 3)
    lines = math.ceil(len(panels) / columns)
    figure = new_figure(max(4.1 * columns, 6.5), 3.3 * lines + 1.2)
    grid = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes, (name, cells) in zip(grid, panels.items(), strict=False):
        axes.set_title(name, fontsize=10)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
        if any(cell[figure_name] is not None for cell in _pruned(cells)):
            draw_panel(axes, cells)
        else:
            axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    _add_legend(figure, grid, columns)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _pruned(cells):
    return [cell for cell in cells if cell["amount"] > 0]


def _draw_accuracy(axes, cells, *, axis):
    from matplotlib.transforms import ScaledTranslation

    lines = {cell["method"]: cell["accuracy"] for cell in cells if cell["method"] in _LINES}
    # Every row knows its teacher, also where the teacher has no row of its own.
    lines["teacher"] = max(cells, key=lambda cell: len(cell["seeds"]))["teacher_accuracy"]
    for method, accuracy in lines.items():
        axes.axhline(accuracy, color="k", linestyle=_LINES[method], label=label(method))
    by_method = {}
    for cell in _pruned(cells):
        if cell[axis.figure] is not None:
            by_method.setdefault(cell["method"], []).append(cell)
    for i, (method, points) in enumerate(by_method.items()):
        colour, marker = _STYLE.get(method, _OTHER_STYLE)
        stds = [point["accuracy_std"] for point in points]
        drawn = axes.errorbar(
            [point[axis.figure] for point in points],
            [point["accuracy"] for point in points],
            yerr=[std or 0 for std in stds] if any(stds) else None,
            color=colour,
            marker=marker,
            linewidth=1,
            capsize=2,
            alpha=0.9,
            label=label(method),
        )
        aside = axis.apart * (i - (len(by_method) - 1) / 2) / 72
        for artist in drawn.get_children():
            shift = ScaledTranslation(aside, 0, axes.figure.dpi_scale_trans)
            artist.set_transform(artist.get_transform() + shift)
    axes.margins(x=0.12)
    low, high = axes.get_xlim()
    lacking = max(axis.least_span - (high - low), 0) / 2
    axes.set_xlim(low - lacking, high + lacking)
    axes.set_xlabel(axis.title, fontsize=8)
    axes.set_ylabel("test accuracy, %", fontsize=8)


def _draw_bars(axes, cells, *, name, summary):
    """A group of bars a method, from the top down; a bar an amount; alike in all panels."""
    there = {cell["method"] for cell in _pruned(summary)}
    methods = [*(method for method in METHODS if method in there), *sorted(there - set(METHODS))]
    amounts = sorted({cell["amount"] for cell in _pruned(summary)})
    height = 0.8 / len(amounts)
    for cell in _pruned(cells):
        i = amounts.index(cell["amount"])
        axes.barh(
            methods.index(cell["method"]) + height * (i - (len(amounts) - 1) / 2),
            cell[name],
            height,
            xerr=cell[f"{name}_std"],
            color=_AMOUNT_SHADES[i % len(_AMOUNT_SHADES)],
            error_kw={"linewidth": 1, "capsize": 2},
            label=f"{percent(cell['amount'])}% of the params removed",
        )
    first = axes.get_subplotspec().is_first_col()
    axes.set_yticks(range(len(methods)), [label(method) if first else "" for method in methods])
    axes.set_ylim(len(methods) - 0.5, -0.5)
    axes.set_xlabel("Performance Efficiency, our definition", fontsize=8)


def _add_legend(figure, grid, columns):
    """One legend under all panels: unpruned networks, methods and amounts, each once."""
    handles = {}
    for axes in grid:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    order = list(METHODS.values())
    names = sorted(handles, key=lambda name: order.index(name) if name in order else len(order))
    figure.legend(
        [handles[name] for name in names],
        names,
        loc="outside lower center",
        ncols=2 if columns == 1 else 3,
        fontsize=8,
    )
