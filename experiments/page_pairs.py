"""The differences that the text of docs/results.md tells of, seed by seed.

A `Pair` takes one method of one experiment from another, of the same network and seed: by another
recipe too, as higher_learning_rate's from recovery's, which no table of one experiment shows.
"""

from typing import NamedTuple

from keras_cascade.report.summary import markdown_lines, mean_and_std, with_spread

PRESET = "all_images"


class Pair(NamedTuple):
    """What is compared; `less_experiment` is None where both are the same experiment's."""

    experiment: str
    method: str
    less: str
    less_experiment: str | None = None
    amount: float = 0.75


_TRAINED_FOR = ("recovery", "longer_training", "longer_teacher")
_OVER_BASELINES = (
    ("iterative_taylor", "taylor"),
    ("iterative_taylor", "l1"),
    ("iterative_taylor_annealed", "iterative_taylor"),
    ("frozen_2_recovered_by_labels", "iterative_taylor"),
    ("frozen_2_annealed", "iterative_taylor"),
    ("frozen_2_annealed", "iterative_taylor_annealed"),
    ("frozen_2_annealed", "frozen_2_recovered_by_labels"),
    ("frozen_2_annealed", "frozen_2"),
    ("frozen_2", "frozen_2_recovered_by_labels"),
)
PAIRS = (
    *(Pair(name, *methods) for methods in _OVER_BASELINES for name in _TRAINED_FOR),
    Pair("recovery", "frozen_2_mean_annealed", "frozen_2_annealed"),
    *(
        Pair("higher_learning_rate", method, method, "recovery")
        for method in ("iterative_taylor", "iterative_taylor_annealed", "frozen_2_annealed")
    ),
    Pair("vgg16_cifar10", "zeros_dense_ends", "zeros"),
    Pair("vgg16_cifar10", "iterative_taylor", "l1", amount=0.9),
    Pair("resnet56_cifar10", "iterative_taylor", "l1_distilled"),
    Pair("resnet50_cifar10", "iterative_taylor", "l1_distilled"),
    Pair("resnet50_cifar10", "iterative_taylor", "l1_distilled", amount=0.9),
    Pair("resnet50_imagenette", "iterative_taylor", "l1_distilled"),
    Pair("assistants", "geometric_3", "frozen_3", amount=0.9),
    Pair("assistants", "geometric_3", "frozen_0", amount=0.9),
)


def pairs(sections, chosen=PAIRS):
    """A line for each pair and network of which some seed has both rows.

    Args:
        sections: list of `page.Section`s, of which those at `PRESET` are taken.
        chosen: `Pair`s.

    Returns:
        A Markdown table; "" where there is no such pair.
    """
    cells_of = {
        section.experiment.name: section.cells
        for section in sections
        if section.experiment.preset == PRESET
    }
    lines = []
    for pair in chosen:
        subtrahend = pair.less_experiment or pair.experiment
        for cells in cells_of.get(pair.experiment, ()):
            for other in cells_of.get(subtrahend, ()):
                if (cells.model, cells.dataset) == (other.model, other.dataset):
                    lines += _line(pair, cells, subtrahend, other)
    header = ["experiment", "network", "gone", "method", "less", "seed by seed", "points"]
    return markdown_lines(header, lines) if lines else ""


def _line(pair, cells, subtrahend, other):
    """A list of one line; of none where no seed has both rows."""
    points = cells.less(pair.method, pair.less, pair.amount, other)
    if not points:
        return []
    less = other.label(pair.less)
    if subtrahend != pair.experiment:
        less = f"{subtrahend}: {less}"
    return [
        [
            pair.experiment,
            f"{cells.model}, {cells.dataset}",
            f"{pair.amount:.0%}",
            cells.label(pair.method),
            less,
            ", ".join(f"{each:+.2f}" for each in points),
            with_spread(*mean_and_std(points), "+.2f"),
        ]
    ]
