"""Summary of several runs of one configuration: mean and standard deviation over seeds."""

import pathlib
import statistics
from collections.abc import Iterable

from keras_cascade.report.files import whole_file
from keras_cascade.report.run_folder import read_run
from keras_cascade.typing import Path, Record, Row

# Of a run's configuration: where it reads and writes, and how it goes, which no result shows.
WITHOUT_EFFECT = {
    "output_dir", "data_dir", "log_dir", "resume", "backup_every", "verbosity", "allow_unsafe",
    "coordinator", "processes", "process_id",
}  # fmt: skip


def read_runs(folders: Iterable[Path]) -> list[Record]:
    """Reads `results.json` of each run's folder.

    Args:
        folders: list of paths.

    Returns:
        List of dicts, as `read_run` gives them.

    Raises:
        ValueError: results that are not there, damaged or of another kind, or runs that differ in
            more than their seed and what shows in no result.
    """
    runs = [_checked(folder, read_run(folder)) for folder in folders]
    if not runs:
        raise ValueError("There are no runs to read: name at least one folder.")
    check_alike([run["configuration"] for run in runs])
    seeds = [run["configuration"].get("seed") for run in runs]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"Two runs of one seed say nothing of the spread: the seeds are {seeds}.")
    return runs


def _checked(folder, run):
    if not isinstance(run.get("configuration"), dict):
        raise ValueError(
            f"The results in '{folder}' do not say how they were made (configuration). Run that "
            "again with this version."
        )
    if "original" not in [row["name"] for row in run["rows"]]:
        raise ValueError(f"The results in '{folder}' have no row 'original' to compare with.")
    if not all("bytes" in row and "seed" in row for row in run["rows"]):
        raise ValueError(f"The results in '{folder}' lack the bytes or the seed of a model.")
    return run


def check_alike(configurations):
    """Refuses to take runs together that differ in more than what a seed changes.

    Args:
        configurations: list of dicts, one a run.

    Raises:
        ValueError: they differ; the message names in what.
    """
    ignored = {"seed", *WITHOUT_EFFECT}
    alike = [{k: v for k, v in each.items() if k not in ignored} for each in configurations]
    for one in alike[1:]:
        different = sorted(k for k in one.keys() | alike[0].keys() if one.get(k) != alike[0].get(k))
        if different:
            raise ValueError(f"The runs are not alike: they differ in {', '.join(different)}.")


def mean_and_std(values):
    """Mean and standard deviation of what several seeds gave.

    Args:
        values: list of numbers; None stands for what was not measured.

    Returns:
        Tuple of the mean and the sample standard deviation. The second is None for one value, and
        both are where a value is missing: a mean over some of the seeds is not what the rest of
        its row is.
    """
    if not values or None in values:
        return None, None
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


def summarise(runs: list[Record]) -> list[Row]:
    """Mean and standard deviation of every row over the runs.

    Args:
        runs: what `read_runs` returned.

    Returns:
        List of dicts with name, accuracy and accuracy_std (percent), below_original (points,
        mean), params, macs, bytes (means) and seeds.
    """
    by_name = {}
    for run in runs:
        original = next(row for row in run["rows"] if row["name"] == "original")
        for row in run["rows"]:
            lost = 100 * (original["accuracy"] - row["accuracy"])
            by_name.setdefault(row["name"], []).append({**row, "below_original": lost})
    summary = []
    for name, rows in by_name.items():
        accuracy, accuracy_std = mean_and_std([100 * row["accuracy"] for row in rows])
        summary.append(
            {
                "name": name,
                "accuracy": accuracy,
                "accuracy_std": accuracy_std,
                **{
                    key: statistics.mean(row[key] for row in rows)
                    for key in ("below_original", "params", "macs", "bytes")
                },
                "seeds": [row["seed"] for row in rows],
            }
        )
    return summary


def markdown_table(summary: list[Row]) -> str:
    """The summary as a Markdown table; returns a string."""
    header = [
        "model", "test accuracy, %", "points below the original", "params", "MACs", "bytes",
    ]  # fmt: skip
    rows = []
    for row in summary:
        sizes = [f"{row[key]:,.0f}" for key in ("params", "macs", "bytes")]
        accuracy = with_spread(row["accuracy"], row["accuracy_std"], ".2f")
        rows.append([row["name"], accuracy, f"{row['below_original']:z.2f}", *sizes])
    return markdown_lines(header, rows)


def with_spread(mean, std, form):
    """A mean and its standard deviation as text, "64.12 ± 0.30".

    Args:
        mean: number, or None: then the text is "-".
        std: number, or None: then the mean stands alone.
        form: format of both, as ".2f"; a sign it asks for goes to the mean only.

    Returns:
        String.
    """
    if mean is None:
        return "-"
    return f"{mean:{form}}" + ("" if std is None else f" ± {std:{form.lstrip('+')}}")


def markdown_lines(header, rows):
    """A Markdown table of lists of strings; returns a string."""
    head, *body = ("| " + " | ".join(cells) + " |" for cells in [header, *rows])
    return "\n".join([head, "|" + "---|" * len(header), *body])


def replace_section(path: Path, name: str, text: str) -> None:
    """Puts text between the lines `<!-- begin NAME -->` and `<!-- end NAME -->` of a file.

    Args:
        path: of a Markdown file.
        name: of the section.
        text: what is to stand there.

    Raises:
        ValueError: the file has no such section.
    """
    path = pathlib.Path(path)
    content = path.read_text()
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if begin not in content or end not in content.split(begin, 1)[1]:
        raise ValueError(f"{path} has no lines '{begin}' and '{end}' to write between.")
    head, rest = content.split(begin, 1)
    tail = rest.split(end, 1)[1]
    with whole_file(path) as temporary:
        temporary.write_text(f"{head}{begin}\n{text}\n{end}{tail}")
