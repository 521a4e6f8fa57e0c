"""docs/coverage.md: which models to check, their rows so far, and the page made of them."""

import hashlib
import pathlib

from zoo import checking

ROOT = pathlib.Path(__file__).parents[2]

_HEAD = """# Coverage

Every model function of `keras.applications`, untrained, on the smallest images it takes, traced,
cut and verified. Written by `make test-zoo`; do not edit by hand. All figures: [{json}]({json}).

Last run: {date}, with {versions}.

- *prunable*: share of the filters (output channels) of all convolutions, depthwise and separable
  ones included, that lie in prunable groups.
- *after*: after `prune(model, 0.5)`. Params and MACs were predicted exactly, for its masks and for
  random ones that keep half of every prunable group.
- *difference*: between masked and extracted model in inference mode, max |difference| over
  max(1, max |y|) of the logits y, for the worse of the two sets of masks; at most {tolerance:.0e}
  in float32. Where the rounding of a deep model alone exceeds that, the two are compared in
  float64: a wrong cut stays wrong there, rounding becomes 5e8 times smaller. Both differences are
  shown then, and the second one is at most {tolerance64:.0e}.
- *seconds*: of all checks of the model. Besides, a training step of the pruned model changes its
  weights, and the model saved as `.keras` and loaded gives the same output.

Weights are random, but biases and normalisation are not neutral, and kernels and moving statistics
are such that the masked model's output depends on the image: an error in the first layer shows.
"""


def sources():
    """A digest of the code the rows depend on; rows of other code are not to be kept."""
    digest = hashlib.sha256()
    for path in sorted([*(ROOT / "keras_cascade").rglob("*.py"), *ROOT.glob("tests/zoo/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def pending(names, rows):
    """The models that have no good row yet; all of them if every one has."""
    missing = [name for name in names if name not in rows or rows[name]["problems"]]
    return missing or list(names)


def page(rows, date, versions, json_name):
    """The Markdown page.

    Args:
        rows: dict from model name to row; a row with "problems" that are not empty is listed as
            failed.
        date: of the run.
        versions: dict from package to version.
        json_name: file name of the JSON beside the page.
    """
    head = _HEAD.format(
        json=json_name,
        date=date,
        versions=", ".join(f"{package} {version}" for package, version in versions.items()),
        tolerance=checking.TOLERANCE,
        tolerance64=checking.TOLERANCE_FLOAT64,
    )
    measured = {name: row for name, row in rows.items() if "filters" in row}
    return "\n".join([head, *_table(measured), *_failures(rows), *_kept_whole(measured)]) + "\n"


def _table(rows):
    titles = ["model", "image", "filters", "prunable", "params", "after", "MACs", "after"]
    yield f"| {' | '.join([*titles, 'difference', 'seconds'])} |"
    yield "|---|" + "---:|" * 9
    for name, row in rows.items():
        difference = f"{row['difference']:.1e}"
        if row["difference_float64"] is not None:
            difference += f" (float64: {row['difference_float64']:.1e})"
        cells = [
            name,
            row["image"],
            f"{row['filters']:,}",
            _percent(row["prunable_filters"] / row["filters"]),
            *(f"{row[key]:,}" for key in ("params", "params_after", "macs", "macs_after")),
            difference,
            f"{row['seconds']:.0f}",
        ]
        yield f"| {' | '.join(map(str, cells))} |"


def _failures(rows):
    failed = {name: row["problems"] for name, row in rows.items() if row["problems"]}
    if failed:
        yield "\n## Failed\n"
        yield from (f"- {name}: {'; '.join(problems)}" for name, problems in failed.items())


def _kept_whole(rows):
    cut = {name: row for name, row in rows.items() if row["kept_whole"]}
    if cut:
        yield "\n## Filters that are kept whole, and why\n"
    yield from (f"- {name}: {checking.reasons(row)}" for name, row in cut.items())


def _percent(share):
    # 99.96% is not 100%.
    return f"{int(1000 * share) / 10}%"
