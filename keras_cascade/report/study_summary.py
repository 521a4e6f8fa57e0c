"""Summary of a comparison of methods: one line a cell, that is data set, model, method, amount.

A row is what one finished run of a cell with one seed wrote; a row that has "error" instead of
results is kept out of every mean and shown on its own. Every figure that is a share compares a
row with the teacher of the same row, so that seeds stay paired.
"""

import csv

from keras_cascade.profile import netscore, performance_efficiency
from keras_cascade.report.files import whole_file
from keras_cascade.report.summary import check_alike, markdown_lines, mean_and_std, with_spread
from keras_cascade.typing import Path, Row

METHODS = {
    "teacher": "dense teacher",
    "dense": "dense, trained on",
    "distillation": "student by distillation",
    "weight_pruning": "weight pruning",
    "weight_pruning_distilled": "weight pruning + distillation",
    "channel_pruning": "channel pruning, one-shot",
    "channel_pruning_distilled": "channel pruning, one-shot + distillation",
    "cascade_0": "cascade, no assistant",
    "cascade_1": "cascade, 1 assistant",
    "cascade_2": "cascade, 2 assistants",
    "cascade_3": "cascade, 3 assistants",
    "cascade_4": "cascade, 4 assistants",
    "pruned_from_scratch": "pruned network from scratch, distilled",
}

# What `derive` gives of a row, and a summary as mean and, under NAME_std, standard deviation.
FIGURES = (
    "accuracy",
    "teacher_accuracy",
    "accuracy_change",
    "params_share",
    "macs_share",
    "gzip_share",
    "latency_ratio",
    "performance_efficiency",
    "netscore",
    "steps",
    "seconds",
)

# Title, figure and format of a table's columns.
COLUMNS = (
    ("accuracy, %", "accuracy", ".2f"),
    ("change, points", "accuracy_change", "+.2f"),
    ("params left, %", "params_share", ".1f"),
    ("MACs left, %", "macs_share", ".1f"),
    ("gzip left, %", "gzip_share", ".1f"),
    ("latency ratio", "latency_ratio", ".2f"),
    ("Performance Efficiency", "performance_efficiency", ".3f"),
    ("NetScore", "netscore", ".1f"),
    ("steps", "steps", ",.0f"),
    ("seconds", "seconds", ",.1f"),
)

_CELL = ("dataset", "model", "method", "amount")


def label(method):
    """A method as a reader is shown it; a method that is not in `METHODS` by its own name."""
    return METHODS.get(method, method)


def finished(rows):
    """The rows that hold results."""
    return [row for row in rows if row.get("error") is None]


def failed(rows):
    """The rows that hold an error, but for cells that finished when they were tried again."""
    done = {_run(row) for row in finished(rows)}
    return [row for row in rows if row.get("error") is not None and _run(row) not in done]


def derive(row):
    """The figures of one finished row.

    Args:
        row: dict, as a study writes it.

    Returns:
        Dict with the names in `FIGURES`: accuracies in percent, accuracy_change in points against
        the row's own teacher, shares in percent of the teacher's, latency as a ratio. The
        effective params, those that are not 0, stand in params_share and in both scores. None
        where a number it needs was not measured, and for the NetScore of an accuracy of 0.
    """
    params, original_params = row["nonzero_params"], row["teacher_params"]
    accuracy, teacher_accuracy, macs = row["accuracy"], row["teacher_accuracy"], row["macs"]
    return {
        "accuracy": 100 * accuracy,
        "teacher_accuracy": 100 * teacher_accuracy,
        "accuracy_change": 100 * (accuracy - teacher_accuracy),
        "params_share": _ratio(params, original_params, 100),
        "macs_share": _ratio(macs, row["teacher_macs"], 100),
        "gzip_share": _ratio(row["gzipped_bytes"], row["teacher_gzipped_bytes"], 100),
        "latency_ratio": _ratio(row["latency_ms"], row["teacher_latency_ms"]),
        "performance_efficiency": performance_efficiency(
            accuracy, params, original_accuracy=teacher_accuracy, original_params=original_params
        ),
        "netscore": netscore(accuracy, params, macs) if macs and accuracy else None,
        "steps": row["steps"],
        "seconds": row["seconds"],
    }


def summarise_cells(rows: list[Row]) -> list[Row]:
    """Mean and standard deviation over the seeds of every cell.

    Args:
        rows: list of dicts, as a study writes them; those with an error are left out.

    Returns:
        List of dicts with dataset, model, method, amount, seeds (list), and each of `FIGURES` by
        its name (mean) and under NAME_std: the sample standard deviation, None for one seed.
        Both are None where the figure is missing for any of the seeds. Data sets and models come
        in the order of the rows, methods in that of `METHODS`, amounts upwards.

    Raises:
        ValueError: a cell has two results for one seed, or settings that differ between seeds.
    """
    cells = {}
    for row in finished(rows):
        cells.setdefault(tuple(row[key] for key in _CELL), []).append(row)
    return [
        _summarise_cell(dict(zip(_CELL, cell, strict=True)), cells[cell])
        for cell in _in_order(cells)
    ]


def cells_table(summary: list[Row]) -> str:
    """The summary as one Markdown table; returns a string.

    Args:
        summary: what `summarise_cells` returned.
    """
    header = ["data set", "model", *table_header()]
    rows = [[cell["dataset"], cell["model"], *table_cells(cell)] for cell in summary]
    return markdown_lines(header, rows)


def table_header():
    """Titles of what `table_cells` returns."""
    return ["method", "removed, %", "seeds", *(title for title, _, _ in COLUMNS)]


def table_cells(cell):
    """One cell of a summary as a list of strings, mean ± standard deviation."""
    figures = (with_spread(cell[name], cell[f"{name}_std"], form) for _, name, form in COLUMNS)
    return [label(cell["method"]), percent(cell["amount"]), str(len(cell["seeds"])), *figures]


def percent(fraction):
    """0.75 as "75", 0.925 as "92.5"."""
    return f"{100 * fraction:.4g}"


def write_csv(rows: list[Row], path: Path) -> None:
    """Writes every row, failed ones too, with the derived figures; nested dicts become columns.

    Args:
        rows: list of dicts, as a study writes them.
        path: of the CSV file. What is missing is left empty. Settings and versions go to columns
            "settings.NAME" and "versions.NAME".
    """
    flat = []
    for row in rows:
        derived = derive(row) if row.get("error") is None else {}
        # The row's own accuracies are fractions, and stay so in their columns.
        figures = {name: value for name, value in derived.items() if name not in row}
        flat.append(_flat({**row, **figures}))
    columns = dict.fromkeys(name for row in flat for name in row)
    nested = [name for name in columns if "." in name]
    with whole_file(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(
            file, [*(c for c in columns if c not in nested), *nested], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(flat)


def _summarise_cell(cell, rows):
    seeds = [row["seed"] for row in rows]
    where = f"{cell['model']} on {cell['dataset']}, {cell['method']}, amount {cell['amount']}"
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"Two results for one seed: {where}, seeds {seeds}. Remove one of them.")
    try:
        check_alike([row["settings"] for row in rows])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    figures = [derive(row) for row in rows]
    summary = {**cell, "seeds": seeds}
    for name in FIGURES:
        mean, std = mean_and_std([each[name] for each in figures])
        summary |= {name: mean, f"{name}_std": std}
    return summary


def _in_order(cells):
    """Keys of cells: data sets and models as they came, methods as listed, amounts upwards."""
    methods = list(METHODS)
    seen = {key: list(dict.fromkeys(cell[i] for cell in cells)) for i, key in enumerate(_CELL[:2])}
    methods += sorted({cell[2] for cell in cells} - set(methods))

    def rank(cell):
        dataset, model, method, amount = cell
        places = seen["dataset"].index(dataset), seen["model"].index(model)
        return (*places, methods.index(method), amount)

    return sorted(cells, key=rank)


def _run(row):
    return (*(row.get(key) for key in _CELL), row.get("seed"))


def _ratio(value, reference, scale=1):
    return None if value is None or reference is None else scale * value / reference


def _flat(row):
    flat = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            flat[name] = value
    return flat
