"""The claims of docs/results.md: how far each cascade ends from its teacher and from baselines.

Everything is paired by seed and made of the `Cells` that the tables below it show, so that no
figure of a claim is copied by hand.
"""

from keras_cascade.report.summary import markdown_lines, mean_and_std, with_spread
from keras_cascade.study.methods import TEACHERS


def claims(sections, references):
    """A line for each cascade, network and amount of which iterative Taylor was run too.

    Args:
        sections: list of `page.Section`s.
        references: list of names of cascades.
    """
    lines = [
        _line(section, cells, reference, amount)
        for section in sections
        for cells in section.cells
        for amount in cells.amounts
        for reference in references
        if cells(reference, amount) and cells("iterative_taylor", amount)
    ]
    header = [
        "experiment", "preset", "network", "gone", "cascade", "seeds", "less its teacher",
        "less one-shot L1", "less iterative Taylor", "above every baseline by more than the spread",
    ]  # fmt: skip
    return markdown_lines(header, lines)


def _line(section, cells, reference, amount):
    against = {
        method: cells.less(reference, method, amount)
        for method in ("teacher", "l1", "iterative_taylor")
    }
    return [
        section.experiment.title,
        section.experiment.preset,
        f"{cells.model}, {cells.dataset}",
        f"{amount:.0%}",
        cells.label(reference).removeprefix("cascade, "),
        str(len(cells(reference, amount))),
        *(with_spread(*mean_and_std(points), "+.2f") for points in against.values()),
        _above_every_baseline(section.experiment, cells, reference, amount),
    ]


def _above_every_baseline(experiment, cells, reference, amount):
    """Yes or no, and above which not, of those with several seeds; "one seed" if there is none."""
    baselines = [method for method in cells.methods if _is_baseline(experiment, method)]
    margins = {method: cells.less(reference, method, amount) for method in baselines}
    spreads = {
        cells.label(method): mean_and_std(points)
        for method, points in margins.items()
        if len(points) > 1
    }
    if not spreads:
        return "one seed"
    short = [label for label, (mean, std) in spreads.items() if mean <= std]
    answer = f"not above {'; '.join(short)}" if short else "yes"
    return f"{answer} ({len(spreads)} run)"


def _is_baseline(experiment, method):
    """Whether it makes a smaller model, and not by a cascade; one without guidance is none."""
    variant = experiment.grid.variant(method)
    is_cascade = variant.method.startswith("cascade") and variant.settings.get("alpha") != 0.0
    return variant.method not in TEACHERS and not is_cascade
