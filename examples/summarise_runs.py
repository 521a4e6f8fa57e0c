"""Writes the mean over seeds of several runs of one training script: Markdown, JSON and a plot.

    python examples/summarise_runs.py --runs=runs/demo_0,runs/demo_1,runs/demo_2 \\
        --output=docs/demo --insert_into=README.md,docs/results.md --section=demo
"""

import quiet_start  # isort: skip  # noqa: F401

import pathlib

from absl import flags

from keras_cascade import report
from keras_cascade.cli import user_errors
from keras_cascade.report.summary import WITHOUT_EFFECT

flags.DEFINE_list("runs", None, "Output folders of runs that differ in their seed only.")
flags.DEFINE_string("output", None, "Where to write: NAME.json and NAME.png.")
flags.DEFINE_list("insert_into", [], "Markdown files that show the table.")
flags.DEFINE_string("section", None, "Name of the section to replace in those files.")
flags.mark_flags_as_required(["runs", "output"])

FLAGS = flags.FLAGS


def main():
    if FLAGS.insert_into and not FLAGS.section:
        raise ValueError("--insert_into needs --section, the name of the section to replace.")
    runs = report.read_runs(FLAGS.runs)
    summary = report.summarise(runs)
    output = pathlib.Path(FLAGS.output)
    report.writable_folder(output.parent)
    table = report.markdown_table(summary)
    for path in FLAGS.insert_into:
        report.replace_section(path, FLAGS.section, table)
    alike = runs[0]["configuration"].items()
    configuration = {k: v for k, v in alike if k not in ("seed", *WITHOUT_EFFECT)}
    seconds = [run["seconds"] for run in runs]
    report.write_json(
        output.with_name(f"{output.name}.json"),
        {
            "summary": summary,
            "rows": [row for run in runs for row in run["rows"]],
            "differences": [run.get("differences") for run in runs],  # of exports, if there are
            "configuration": configuration,
            "seconds": seconds,
            "versions": runs[0]["versions"],
        },
    )
    model = configuration.get("teacher") or configuration["model"]
    title = f"{model} on {configuration['dataset']}, {len(runs)} seeds"
    points = [
        {**row, "accuracy": row["accuracy"] / 100, "accuracy_std": (row["accuracy_std"] or 0) / 100}
        for row in summary
    ]
    report.plot_accuracy_against_macs(points, output.with_name(f"{output.name}.png"), title)
    print(table)


if __name__ == "__main__":
    user_errors.run(main)
