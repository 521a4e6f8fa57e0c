"""The plots of docs/results.md: accuracies at one or two amounts as dots, at more as curves."""

import statistics

from keras_cascade import report
from keras_cascade.report.plots import new_figure
from keras_cascade.report.summary import mean_and_std


def draw(cells, path):
    """Draws the accuracies of `page_tables.Cells` into a PNG file.

    Returns:
        What is drawn, in words.
    """
    curves = len(cells.amounts) > 2  # of two points they would say less than dots side by side
    columns = 1 if curves else len(cells.amounts)
    figure = new_figure(5 + 3 * columns, 5)
    panels = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    teachers = cells("teacher", 0.0).values()
    level = statistics.mean(100 * row["accuracy"] for row in teachers) if teachers else None
    if curves:
        _draw_curves(panels[0], cells, level)
    else:
        for axes, amount in zip(panels, cells.amounts, strict=True):
            _draw_dots(axes, cells, amount, level)
    for axes in panels:
        axes.grid(alpha=0.3)
    with report.whole_file(path) as whole:
        figure.savefig(whole, format="png", bbox_inches="tight")
    removed = " and ".join(f"{amount:.0%}" for amount in cells.amounts)
    over = f"accuracy against {cells.budget} removed"
    return over if curves else f"accuracy at {removed} removed"


def _draw_curves(axes, cells, level):
    """Accuracy over the amount asked for, a line a method."""
    for index, method in enumerate(cells.methods):
        points = []
        for amount in cells.amounts:
            found = cells(method, amount).values()
            if found:
                accuracy = mean_and_std([100 * row["accuracy"] for row in found])
                points.append((100 * amount, accuracy[0], accuracy[1] or 0.0))
        if points:
            x, y, spread = zip(*sorted(points), strict=True)
            style = {"marker": "osD^vPX*<>hp"[index % 12], "capsize": 2, "linewidth": 1}
            axes.errorbar(x, y, spread, label=cells.label(method), **style)
    if level is not None:
        axes.axhline(level, color="black", linestyle="--", label="dense teacher")
    axes.set(
        xlabel=f"{cells.budget} removed, % of the teacher's "
        "(weight pruning: as many params as the cascade's)",
        ylabel="test accuracy, %",
        xticks=[100 * amount for amount in cells.amounts],
    )
    axes.legend(fontsize="x-small")


def _draw_dots(axes, cells, amount, level):
    """The accuracy of each method that prunes, a line of the picture each."""
    methods = [m for m in cells.methods if any(cells(m, each) for each in cells.amounts)]
    for place, method in enumerate(methods):
        values = [100 * row["accuracy"] for row in cells(method, amount).values()]
        if not values:
            continue
        mean, spread = mean_and_std(values)
        style = {"color": f"C{place % 10}", "marker": "o", "capsize": 3}
        axes.plot(values, [place] * len(values), "|", color="gray")
        axes.errorbar(mean, place, xerr=spread or 0.0, **style)
    if level is not None:
        axes.axvline(level, color="black", linestyle="--")
    axes.set_yticks(range(len(methods)), [cells.label(method) for method in methods])
    axes.set(
        title=f"{amount:.0%} removed",
        xlabel="test accuracy, %; dashed: dense teacher",
        ylim=(len(methods) - 0.5, -0.5),
    )
