"""docs/speed.md from what training.py measured.

python benchmarks/training_page.py benchmarks/training_*.json
"""

import json
import pathlib
import sys

from keras_cascade.report.files import whole_file
from keras_cascade.report.summary import markdown_lines

_PAGE = """# What a training step costs

Seconds and peak memory of a step of the cascade, as ratios to a step of plain `fit` of the same
model, both taken in the same round; the figure is the median over the rounds, the range is in
brackets. Every contestant runs in a process of its own, on two CPU cores. Written by `make
bench`; do not edit by hand.

The *floor* is the work that cannot be avoided, over that of plain fit. A masked level runs the
whole model, forwards and backwards, so K levels and their teacher cost K + 1; sliced levels cost
what is left of their MACs; the Distiller's frozen teacher runs forwards only. Levels remove 75%
of the MACs at K = 1, 40% and 75% at K = 2, 25%, 50% and 75% at K = 3; masks are drawn at random.
*Apart* are the extracted models of all levels, each trained by plain fit, their seconds added up:
what slices could gain at best where small layers do not get faster in proportion to their MACs.

*Traces* is how often the step was traced: Keras on TensorFlow traces it twice for plain fit. So
were the cascades when these rows were taken; since then their metrics are made before the step, and
it is traced once (`tests/cascade/test_compiled_metrics.py`). Slicing adds one when it begins.

{sections}
## What it says

{findings}
"""


def main(paths):
    results = [json.loads(pathlib.Path(path).read_text()) for path in paths]
    page = _PAGE.format(
        sections="\n".join(map(_section, results)),
        findings="\n".join(_findings([row for result in results for row in result["rows"]])),
    )
    with whole_file(pathlib.Path(__file__).parents[1] / "docs" / "speed.md") as path:
        path.write_text(page)


def _section(result):
    options = result["configuration"]
    names = {row["model"]: None for row in result["rows"]}
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    table = markdown_lines(
        [
            "backend",
            "trainer",
            "s a step",
            "to plain fit",
            "floor",
            "above floor",
            "memory",
            "traces",
        ],
        [
            [
                row["backend"],
                row["trainer"],
                f"{row['seconds_a_step']:.2f}",
                f"{row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})",
                f"{row['floor']:.2f}",
                f"{row['ratio'] / row['floor']:.2f}",
                f"{row['memory_ratio']:.2f}",
                str(row["traces"]),
            ]
            for row in result["rows"]
        ],
    )
    return (
        f"## {' and '.join(names)}\n\nWidth {options['width']:g}, batches of "
        f"{options['batch_size']}; rounds: {options['rounds']}, timed steps in each: "
        f"{options['steps']}. {versions}.\n\n{table}\n"
    )


def _findings(rows):
    """One line for each model and backend, on the cascade with the most levels."""
    by_setting = {}
    for row in rows:
        by_setting.setdefault((row["model"], row["backend"]), {})[row["trainer"]] = row
    for (model, backend), trainers in by_setting.items():
        most = max(name.partition("K=")[2] for name in trainers)
        masked, sliced, apart = (
            trainers[f"{kind}, K={most}"] for kind in ("cascade", "sliced", "apart")
        )
        yield (
            f"- {model} on {backend}, K = {most}: a masked step takes "
            f"{masked['ratio'] / masked['floor']:.2f} times the floor; a sliced one "
            f"{sliced['ratio'] / masked['ratio']:.2f} times the masked one "
            f"(MACs: {sliced['floor'] / masked['floor']:.2f}), and "
            f"{sliced['ratio'] / apart['ratio']:.2f} times the extracted models apart."
        )


if __name__ == "__main__":
    main(sys.argv[1:])
