"""Summary of several runs of one configuration: mean and standard deviation over seeds."""

import json
import pathlib
import statistics


def read_runs(folders):
    """Reads `results.json` of each run's folder.

    Args:
        folders: list of paths.

    Returns:
        List of dicts, as the runs wrote them.

    Raises:
        ValueError: a folder without results, or runs that differ in more than seed and folder.
    """
    runs = []
    for folder in folders:
        path = pathlib.Path(folder) / "results.json"
        if not path.is_file():
            raise ValueError(f"No results in '{folder}': {path.name} is missing. Run it first.")
        runs.append(json.loads(path.read_text()))
    ignored = {"seed", "output_dir", "data_dir"}
    configurations = [
        {key: value for key, value in run["configuration"].items() if key not in ignored}
        for run in runs
    ]
    for configuration in configurations[1:]:
        if configuration != configurations[0]:
            different = [k for k, v in configuration.items() if configurations[0].get(k) != v]
            raise ValueError(f"The runs are not alike: they differ in {', '.join(different)}.")
    return runs


def summarise(runs):
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
        accuracies = [100 * row["accuracy"] for row in rows]
        summary.append(
            {
                "name": name,
                "accuracy": statistics.mean(accuracies),
                "accuracy_std": statistics.stdev(accuracies) if len(rows) > 1 else None,
                **{
                    key: statistics.mean(row[key] for row in rows)
                    for key in ("below_original", "params", "macs", "bytes")
                },
                "seeds": [row["seed"] for row in rows],
            }
        )
    return summary


def markdown_table(summary):
    """The summary as a Markdown table; returns a string."""
    lines = [
        "| model | test accuracy, % | points below the original | params | MACs | bytes |",
        "|---|---|---|---|---|---|",
    ]
    for row in summary:
        spread = "" if row["accuracy_std"] is None else f" ± {row['accuracy_std']:.2f}"
        lines.append(
            f"| {row['name']} | {row['accuracy']:.2f}{spread} | {row['below_original']:.2f} | "
            f"{row['params']:,.0f} | {row['macs']:,.0f} | {row['bytes']:,.0f} |"
        )
    return "\n".join(lines)


def replace_section(path, name, text):
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
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(f"{head}{begin}\n{text}\n{end}{tail}")
    temporary.replace(path)
