"""Writes docs/results.md's experiments, and README's overview of them, from the files of results.

Every table names the preset it comes from. Published figures stand in a table of their own, beside
what the full preset gave here, if it was run. What torch_pruning.py gave is read from
EXPERIMENT_PRESET_torch_pruning.jsonl.

    python experiments/page.py --results_dir=docs/results --page=docs/results.md
"""

import pathlib
import statistics
import sys
import tomllib

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples"))
import quiet_start  # isort: skip  # noqa: E402, F401

import experiment_names  # noqa: E402
import page_claims  # noqa: E402
import page_overview  # noqa: E402
import page_pairs  # noqa: E402
import page_plots  # noqa: E402
import page_tables  # noqa: E402
from absl import flags  # noqa: E402

from keras_cascade import report, study  # noqa: E402
from keras_cascade.cli import user_errors  # noqa: E402
from keras_cascade.report.study_summary import finished  # noqa: E402
from keras_cascade.report.summary import markdown_lines  # noqa: E402

flags.DEFINE_string("results_dir", "docs/results", "Where EXPERIMENT_PRESET.jsonl lie.")
flags.DEFINE_string(
    "page",
    "docs/results.md",
    "A Markdown file with sections 'overview', 'claims', 'pairs', 'experiments' and 'early'.",
)
flags.DEFINE_string("readme", "README.md", "A Markdown file with a section 'overview'.")
flags.DEFINE_list(
    "references",
    [
        "frozen_2",
        "frozen_0",
        "frozen_2_early",
        "frozen_2_recovered_by_labels",
        "frozen_0_recovered_by_labels",
        "frozen_2_annealed",
        "frozen_0_annealed",
    ],
    "Methods that others are compared with: in each experiment, that of which there are most rows.",
)

FLAGS = flags.FLAGS
# The section that claims are made of; all sections of the page, and their presets.
CLAIMED = "experiments"
SECTIONS = {CLAIMED: ("full", "all_images", "cpu"), "early": ("early",)}
# What the recipe does by default, with assistants and without.
RECIPES = ("frozen_2_annealed", "frozen_0_annealed")
PUBLISHED = HERE / "published" / "figures.toml"


def main():
    folder = pathlib.Path(FLAGS.results_dir)
    written = 0
    for name, presets in SECTIONS.items():
        sections = list(_sections(folder, presets))
        if sections:
            text = "\n\n".join(section.text() for section in sections)
            report.replace_section(FLAGS.page, name, text)
        if sections and name == CLAIMED:
            claims = page_claims.claims(sections, FLAGS.references)
            report.replace_section(FLAGS.page, "claims", claims)
            pairs = page_pairs.pairs(sections)
            if pairs:
                report.replace_section(FLAGS.page, "pairs", pairs)
            overview = page_overview.overview(sections)
            if overview:
                for path in (FLAGS.readme, FLAGS.page):
                    report.replace_section(path, "overview", overview)
        written += len(sections)
    if not written:
        raise ValueError(f"There are no results in '{folder}': run experiments/run.py first.")
    print(f"Wrote {written} sections to {FLAGS.page}.")


def _sections(folder, presets):
    """A `Section` for each experiment that was run at one of some presets."""
    for name in experiment_names.names():
        for preset in presets:
            results = folder / f"{name}_{preset}.jsonl"
            if results.exists():
                experiment = study.Experiment.read(experiment_names.path_of(name), preset)
                # Rows of other settings than the file's now would not be what its command gives.
                rows = study.Records(results, experiment.protocol.as_dict()).rows
                outside = study.Records(folder / _torch_pruning_file(experiment)).rows
                yield Section(experiment, rows, folder, outside)


def _torch_pruning_file(experiment):
    """A file of its own: its rows are of other teachers, and of their own settings."""
    return experiment.results.replace(".jsonl", "_torch_pruning.jsonl")


class Section:
    """What one experiment at one preset gave, as Markdown."""

    def __init__(self, experiment, rows, folder, outside=()):
        self.experiment, self.folder, self.outside = experiment, folder, outside
        self.all_rows, self.rows = rows, finished(rows)
        self._file = experiment.results.removesuffix(".jsonl")
        full_was_run = (folder / f"{experiment.name}_full.jsonl").exists()
        beside = experiment.preset == ("full" if full_was_run else "cpu")
        self.published = tomllib.loads(PUBLISHED.read_text()).get(experiment.name) if beside else {}

    @property
    def cells(self):
        """A `Cells` for each network and data set."""
        both = dict.fromkeys((row["dataset"], row["model"]) for row in self.rows)
        return [
            page_tables.Cells(
                self.experiment,
                [row for row in self.rows if (row["dataset"], row["model"]) == each],
            )
            for each in both
        ]

    def text(self):
        experiment = self.experiment
        parts = [f"### {experiment.title}: preset `{experiment.preset}`", experiment.question]
        parts += [self._what_was_run()]
        for cells in self.cells:
            dataset, model = cells.dataset, cells.model
            parts += [f"#### {model} on {dataset}", page_tables.accuracies(cells)]
            parts += [page_tables.differences(cells, FLAGS.references), page_tables.levels(cells)]
            parts += [self._torch_pruning(dataset, model)]
            parts += [self._picture(cells, f"{self._file}_{dataset}_{model}")]
        parts += [self._published()]
        return "\n\n".join(part for part in parts if part)

    def _what_was_run(self):
        settings = self.all_rows[0]["settings"]
        seconds = sum(row["wall_seconds"] for row in self.all_rows if "taken_from" not in row)
        taken = sum("taken_from" in row for row in self.rows)
        shared = f" ({taken} of them another experiment's)" if taken else ""
        seeds = sorted({row["seed"] for row in self.rows})
        failed = [row for row in self.all_rows if "error" in row]
        chosen = (
            "max_train_examples", "image_size", "batch_size", "teacher_epochs", "epochs",
            "recover_epochs", "learning_rate", "prune_learning_rate", "budget",
        )  # fmt: skip
        as_they_are = {"max_train_examples": "all", "image_size": "as stored"}
        told = ", ".join(
            f"{name} {as_they_are[name] if settings[name] is None else settings[name]}"
            for name in chosen
        )
        machines = sorted({f"{r['device']} ({r['versions']['backend']})" for r in self.all_rows})
        lines = [
            f"    python experiments/run.py --experiments={self.experiment.name} "
            f"--preset={self.experiment.preset} --data_dir=<a TFDS folder>",
            "",
            f"{len(self.rows)} of its {len(self.experiment.grid.cells())} trainings{shared}, "
            f"seeds {', '.join(map(str, seeds))}, "
            f"{seconds / 3600:.1f} hours (beside other work) on {'; '.join(machines)}. {told}. "
            f"Every row: [results/{self._file}.jsonl](results/{self._file}.jsonl).",
            "",
        ]
        lines += [f"- failed: {row['method']} {row['amount']}: {row['error']}" for row in failed]
        return "\n".join(lines)

    def _torch_pruning(self, dataset, model):
        of_both = (dataset, model)
        rows = [row for row in self.outside if (row["dataset"], row["model"]) == of_both]
        return page_tables.torch_pruning(rows, _torch_pruning_file(self.experiment))

    def _picture(self, cells, name):
        file = name.replace("@", "_").replace("/", "-") + ".png"
        what = page_plots.draw(cells, self.folder / file)
        return f"![{self.experiment.title}: {what}](results/{file})"

    def _published(self):
        if not self.published:
            return ""
        ours, whose = {}, "ours"
        if self.experiment.preset == "full":
            trained = {row["method"] for row in self.rows}
            reference = next(name for name in (*RECIPES, *FLAGS.references) if name in trained)
            whose = f"ours: {self.experiment.label(reference)}"
            for row in self.rows:
                if row["method"] == reference:
                    ours.setdefault(round(100 * row["amount"]), []).append(100 * row["accuracy"])
        lines = []
        for method, base, accuracy, removed in self.published["rows"]:
            near = min(ours, key=lambda amount: abs(amount - removed), default=None)
            text = "not run" if near is None else f"{statistics.mean(ours[near]):.2f} at {near}%"
            lines.append([method, str(base), f"{accuracy:.2f}", f"{removed}%", text])
        header = [
            "published, other code", "base, %", "pruned, %", "MACs gone", f"{whose}, full preset",
        ]  # fmt: skip
        return (
            f"Published for the whole network ({self.published['whole']}), on the lossless images; "
            "not comparable with a narrow network or a subset.\n\n" + markdown_lines(header, lines)
        )


def run():
    """Runs the script with absl's flags."""
    user_errors.run(main)


if __name__ == "__main__":
    run()
