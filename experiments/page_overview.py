"""The overview that README and docs/results.md begin with: methods after short and long training.

Its columns are experiments of one preset that differ in how wide the network is and in how long it
and its teacher train, at one amount.
"""

import statistics

from keras_cascade.report.summary import markdown_lines

PRESET, AMOUNT = "all_images", 0.75
EXPERIMENTS = (
    "recovery",
    "longer_training",
    "longer_teacher",
    "widths_longer",
    "widths_longer_teacher",
)


def overview(sections):
    """A line a method, those of the first experiment first, the most accurate at the top.

    Args:
        sections: list of `page.Section`s, of which those of `EXPERIMENTS` are taken.

    Returns:
        A Markdown table; "" where none of them was run.
    """
    by_name = {
        section.experiment.name: section
        for section in sections
        if section.experiment.preset == PRESET
    }
    taken = [by_name[name] for name in EXPERIMENTS if name in by_name]
    columns = [cells for section in taken for cells in section.cells]
    if not columns:
        return ""
    labels = {method: cells.label(method) for cells in columns for method in cells.methods}
    lines = [
        [labels[method], *(cells.accuracy(method, AMOUNT) for cells in columns)]
        for method in sorted(labels, key=lambda method: _place(columns, method))
    ]
    heads = [f"{cells.model}, {_epochs(cells)} epochs" for cells in columns]
    gone = f"{AMOUNT:.0%} of the {columns[0].budget} gone"
    return markdown_lines([f"{gone}: accuracy, % (seeds)", *heads], lines)


def _place(columns, method):
    """The first column that has a method, and in it the most accurate first."""
    for index, cells in enumerate(columns):
        found = cells.beside(method, AMOUNT).values()
        if found:
            return index, -statistics.mean(row["accuracy"] for row in found)
    return len(columns), 0.0


def _epochs(cells):
    """The teacher's, and those of every method after it: "30 + 12"."""
    settings = cells.rows[0]["settings"]
    return f"{settings['teacher_epochs']} + {settings['epochs'] + settings['recover_epochs']}"
