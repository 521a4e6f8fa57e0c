"""Plots of results."""

from keras_cascade.report.files import whole_file
from keras_cascade.typing import Path, Row

_STYLE = {
    "teacher": ("#1f77b4", "o"),
    "student": ("#d62728", "*"),
    "l1_finetuned": ("#7f7f7f", "X"),
    "original": ("#000000", "s"),  # on a dark page: white
}
_ASSISTANTS = (("#2ca02c", "o"), ("#9467bd", "^"), ("#c07a00", "D"), ("#0e949f", "v"))
_LABELS = {
    "original": "original, before the cascade",
    "teacher": "teacher (level 0)",
    "student": "student, recovered",
    "l1_finetuned": "one-shot L1, fine-tuned",
}


def new_figure(width, height):
    """An empty matplotlib figure that lays itself out.

    Args:
        width, height: in inches.

    Returns:
        A `matplotlib.figure.Figure`, which needs no display.

    Raises:
        ImportError: matplotlib is not installed (the extra `report`).
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install 'keras_cascade[report]'") from error
    return Figure(figsize=(width, height), dpi=130, layout="constrained")


def plot_accuracy_against_macs(rows: list[Row], path: Path, title: str) -> None:
    """Draws test accuracy over MACs, one point a row, and writes a PNG.

    Args:
        rows: list of dicts with name, accuracy (in [0, 1]), macs, and accuracy_std where several
            runs were averaged; it is drawn as a bar.
        path: of the PNG file.
        title: shown above.

    Raises:
        ImportError: matplotlib is not installed (the extra `report`).
    """
    figure = new_figure(7.0, 4.5)
    axes = figure.add_subplot()
    draw_accuracy_against_macs(axes, rows)
    axes.set_title(title)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png")


def draw_accuracy_against_macs(axes, rows):
    """Draws what `plot_accuracy_against_macs` shows into axes.

    Args:
        axes: `matplotlib.axes.Axes`.
        rows: as there.
    """
    levels = sorted(
        (row for row in rows if row["name"] not in ("l1_finetuned", "original")),
        key=lambda row: row["macs"],
    )
    axes.plot(
        [row["macs"] / 1e6 for row in levels],
        [100 * row["accuracy"] for row in levels],
        color="darkgray",
        linewidth=1,
        zorder=1,
    )
    for row in rows:
        colour, marker = level_style(row["name"])
        axes.scatter(
            row["macs"] / 1e6,
            100 * row["accuracy"],
            s=130 if marker == "*" else 60,
            color=colour,
            marker=marker,
            label=_LABELS.get(row["name"], f"assistant {row['name']}"),
            zorder=2,
        )
        if row.get("accuracy_std"):
            axes.errorbar(
                row["macs"] / 1e6,
                100 * row["accuracy"],
                yerr=100 * row["accuracy_std"],
                color=colour,
                capsize=3,
            )
    axes.set_xlabel("MACs of one example, millions")
    axes.set_ylabel("test accuracy, %")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)


def level_style(name):
    """The colour and the marker of a level, or of another row of results, in every plot.

    Args:
        name: "teacher", "ta1", ..., "student", "original" or "l1_finetuned".

    Returns:
        Pair of a colour as "#rrggbb", seen on white and on black alike, and a marker.
    """
    if name in _STYLE:
        return _STYLE[name]
    number = name.removeprefix("ta")
    return _ASSISTANTS[(int(number) - 1) % len(_ASSISTANTS) if number.isdecimal() else 0]
