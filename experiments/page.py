"""Writes docs/results.md's experiments from the files of results, and draws their plots.

Every table names the preset it comes from. Published figures stand in a table of their own, beside
what the full preset gave here, if it was run. What torch_pruning.py gave is read from
EXPERIMENT_PRESET_torch_pruning.jsonl.

    python experiments/page.py --results_dir=docs/results --page=docs/results.md
"""

import collections
import pathlib
import statistics
import sys
import tomllib

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples"))
import quiet_start  # isort: skip  # noqa: E402, F401

from absl import flags  # noqa: E402

from keras_cascade import report, study  # noqa: E402
from keras_cascade.cli import user_errors  # noqa: E402
from keras_cascade.report.plots import new_figure  # noqa: E402
from keras_cascade.report.study_summary import finished  # noqa: E402
from keras_cascade.report.summary import markdown_lines, mean_and_std, with_spread  # noqa: E402

flags.DEFINE_string("results_dir", "docs/results", "Where EXPERIMENT_PRESET.jsonl lie.")
flags.DEFINE_string(
    "page", "docs/results.md", "A Markdown file with sections 'experiments' and 'early'."
)
flags.DEFINE_list(
    "references",
    ["frozen_2", "frozen_0", "frozen_2_early"],
    "Methods that others are compared with: in each experiment, that of which there are most rows.",
)

FLAGS = flags.FLAGS
# Of the page, and their presets.
SECTIONS = {"experiments": ("full", "all_images", "cpu"), "early": ("early",)}
PUBLISHED = HERE / "published" / "figures.toml"


def main():
    folder = pathlib.Path(FLAGS.results_dir)
    written = 0
    for section, presets in SECTIONS.items():
        parts = [part.text() for part in _parts(folder, presets)]
        if parts:
            report.replace_section(FLAGS.page, section, "\n\n".join(parts))
        written += len(parts)
    if not written:
        raise ValueError(f"There are no results in '{folder}': run experiments/run.py first.")
    print(f"Wrote {written} sections to {FLAGS.page}.")


def _parts(folder, presets):
    """A `Section` for each experiment that was run at one of some presets."""
    for path in sorted(HERE.glob("*.toml"), key=_place):
        for preset in presets:
            results = folder / f"{path.stem}_{preset}.jsonl"
            if path.name != study.COMMON and results.exists():
                experiment = study.Experiment.read(path, preset)
                # Rows of other settings than the file's now would not be what its command gives.
                rows = study.Records(results, experiment.protocol.as_dict()).rows
                outside = study.Records(folder / _torch_pruning_file(experiment)).rows
                yield Section(experiment, rows, folder, outside)


def _torch_pruning_file(experiment):
    """A file of its own: its rows are of other teachers, and of their own settings."""
    return experiment.results.replace(".jsonl", "_torch_pruning.jsonl")


def _place(path):
    order = (
        "vgg16_cifar10", "resnet56_cifar10", "resnet50_cifar10", "vgg16_cifar100", "assistants",
    )  # fmt: skip
    return (order.index(path.stem) if path.stem in order else len(order), path.stem)


class Section:
    """What one experiment at one preset gave, as Markdown."""

    def __init__(self, experiment, rows, folder, outside=()):
        self.experiment, self.folder, self.outside = experiment, folder, outside
        self.all_rows, self.rows = rows, finished(rows)
        self._file = experiment.results.removesuffix(".jsonl")
        beside = experiment.preset in ("full", "cpu")
        self.published = tomllib.loads(PUBLISHED.read_text()).get(experiment.name) if beside else {}
        trained = [row["method"] for row in self.rows]
        self.reference = max(FLAGS.references, key=trained.count)

    def text(self):
        experiment = self.experiment
        parts = [f"### {experiment.title}: preset `{experiment.preset}`", experiment.question]
        parts += [self._what_was_run()]
        for dataset, model in dict.fromkeys((row["dataset"], row["model"]) for row in self.rows):
            rows = [row for row in self.rows if (row["dataset"], row["model"]) == (dataset, model)]
            parts += [f"#### {model} on {dataset}", self._accuracies(rows)]
            parts += [self._differences(rows), self._levels(rows)]
            parts += [self._other_library(dataset, model)]
            parts += [self._picture(rows, f"{self._file}_{dataset}_{model}")]
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
            f"--preset={self.experiment.preset}",
            "",
            f"{len(self.rows)} trainings{shared}, seeds {', '.join(map(str, seeds))}, "
            f"{seconds / 3600:.1f} hours (beside other work) on {'; '.join(machines)}. {told}. "
            f"Every row: [results/{self._file}.jsonl](results/{self._file}.jsonl).",
            "",
        ]
        lines += [f"- failed: {row['method']} {row['amount']}: {row['error']}" for row in failed]
        return "\n".join(lines)

    def _cells(self, rows):
        """Rows by method (in the experiment's order), amount and seed."""
        cells = collections.defaultdict(dict)
        for row in rows:
            cells[row["method"], row["amount"]][row["seed"]] = row
        order = [m for m in self.experiment.grid.methods if any(m == key[0] for key in cells)]
        return cells, order, sorted({amount for _, amount in cells if amount})

    def _accuracies(self, rows):
        cells, methods, amounts = self._cells(rows)
        header = ["method"]
        budget = {"macs": "MACs"}.get(rows[0]["settings"]["budget"], rows[0]["settings"]["budget"])
        for amount in amounts:
            header += [
                f"{amount:.0%} of the {budget} gone: accuracy, %",
                "params left, %",
                "MACs left, %",
            ]
        lines = []
        for method in methods:
            line = [self.experiment.label(method)]
            for amount in amounts:
                found = list((cells.get((method, amount)) or cells.get((method, 0.0), {})).values())
                spread = mean_and_std([100 * row["accuracy"] for row in found])
                params = [100 * row["nonzero_params"] / row["teacher_params"] for row in found]
                macs = [100 * row["macs"] / row["teacher_macs"] for row in found]
                seeds = f" ({len(found)})" if found else ""
                line.append(with_spread(*spread, ".2f") + seeds)
                line += [with_spread(mean_and_std(each)[0], None, ".1f") for each in (params, macs)]
            lines.append(line)
        return (
            "Accuracy on the whole test split, mean ± standard deviation (number of seeds).\n\n"
            + markdown_lines(header, lines)
        )

    def _differences(self, rows):
        """A table for the reference, and for each other one that has several seeds somewhere."""
        cells, methods, _ = self._cells(rows)
        tables = [
            self._less(rows, reference)
            for reference in FLAGS.references
            if reference in methods
            and (
                reference == self.reference
                or any(len(seeds) > 1 for key, seeds in cells.items() if key[0] == reference)
            )
        ]
        return "\n\n".join(["Points of accuracy, paired by seed.", *tables]) if tables else ""

    def _less(self, rows, reference):
        cells, methods, amounts = self._cells(rows)
        lines = []
        for method in methods:
            line = [self.experiment.label(method)]
            for amount in amounts:
                own = cells[reference, amount]
                other = cells.get((method, amount)) or cells.get((method, 0.0), {})
                pairs = [
                    100 * (own[seed]["accuracy"] - other[seed]["accuracy"])
                    for seed in own
                    if seed in other
                ]
                line.append(with_spread(*mean_and_std(pairs), "+.2f"))
            if method != reference:
                lines.append(line)
        header = [
            f"{self.experiment.label(reference)} less ...",
            *(f"{each:.0%} gone" for each in amounts),
        ]
        return markdown_lines(header, lines)

    def _levels(self, rows):
        """What went on inside the cascades: means over seeds."""
        cells, methods, amounts = self._cells(rows)
        lines = []
        for method in methods:
            for amount in amounts:
                found = [row for row in cells[method, amount].values() if "levels" in row]
                if found:
                    name = [self.experiment.label(method), f"{amount:.0%}"]
                    by_labels = cells["iterative_taylor", amount]
                    lines.append([*name, *_inside(found), _times_as_long(found, by_labels)])
        header = [
            "cascade", "gone", "levels before recovery, accuracy, %", "T² KL to the guide, at last",
            "flips an epoch, while pruning", "share of the gradient, mean",
            "rank correlation of saliency with the next larger level's", "recovery adds, points",
            "training took, × iterative Taylor's (beside other work)",
        ]  # fmt: skip
        return markdown_lines(header, lines) if lines else ""

    def _other_library(self, dataset, model):
        """What torch_pruning.py gave, whose teachers are its own."""
        cells = collections.defaultdict(list)
        for row in self.outside:
            if (row["dataset"], row["model"]) == (dataset, model):
                cells[row["amount"]].append(row)
        if not cells:
            return ""
        header = [
            "Torch-Pruning, gone", "its teacher, %", "after sparse learning", "pruned",
            "fine-tuned", "less its teacher", "params left, %", "MACs left, %",
        ]  # fmt: skip
        lines = []
        for amount, found in sorted(cells.items()):
            figures = ("teacher_accuracy", "sparse_accuracy", "accuracy_before_fine_tuning")
            values = [[100 * row[name] for row in found] for name in (*figures, "accuracy")]
            less = [end - start for start, end in zip(values[0], values[-1], strict=True)]
            left = [
                [100 * row[name] / row[f"teacher_{name}"] for row in found]
                for name in ("params", "macs")
            ]
            lines.append(
                [
                    f"{amount:.0%} ({len(found)})",
                    *(with_spread(*mean_and_std(each), ".2f") for each in values),
                    with_spread(*mean_and_std(less), "+.2f"),
                    *(with_spread(mean_and_std(each)[0], None, ".1f") for each in left),
                ]
            )
        file = _torch_pruning_file(self.experiment)
        return (
            "Torch-Pruning's group norm with sparse learning, in PyTorch (experiments/"
            "torch_pruning.py): teachers of its own by the same recipe, as many epochs after them. "
            f"Every row: [results/{file}](results/{file}).\n\n" + markdown_lines(header, lines)
        )

    def _picture(self, rows, name):
        cells, methods, amounts = self._cells(rows)
        pruned = [method for method in methods if any((method, each) in cells for each in amounts)]
        curves = len(amounts) > 2  # of two points they would say less than dots side by side
        columns = 1 if curves else len(amounts)
        figure = new_figure(5 + 3 * columns, 5)
        panels = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
        teachers = cells.get(("teacher", 0.0), {}).values()
        level = statistics.mean(100 * row["accuracy"] for row in teachers) if teachers else None
        if curves:
            self._draw_curves(panels[0], cells, methods, level)
        else:
            for axes, amount in zip(panels, amounts, strict=True):
                self._draw_dots(axes, cells, pruned, amount, level)
        for axes in panels:
            axes.grid(alpha=0.3)
        file = name.replace("@", "_") + ".png"
        with report.whole_file(self.folder / file) as path:
            figure.savefig(path, format="png", bbox_inches="tight")
        removed = " and ".join(f"{amount:.0%}" for amount in amounts)
        what = "against MACs" if curves else f"at {removed} removed"
        return f"![{self.experiment.title}: accuracy {what}](results/{file})"

    def _draw_curves(self, axes, cells, methods, level):
        """Accuracy over what is left of the MACs, a line a method."""
        for index, method in enumerate(methods):
            points = []
            for (each, amount), found in cells.items():
                if each == method and amount:
                    accuracy = mean_and_std([100 * row["accuracy"] for row in found.values()])
                    share = [100 * row["macs"] / row["teacher_macs"] for row in found.values()]
                    points.append((statistics.mean(share), accuracy[0], accuracy[1] or 0.0))
            if points:
                x, y, spread = zip(*sorted(points), strict=True)
                style = {"marker": "osD^vPX*<>hp"[index % 12], "capsize": 2, "linewidth": 1}
                axes.errorbar(x, y, spread, label=self.experiment.label(method), **style)
        if level is not None:
            axes.axhline(level, color="black", linestyle="--", label="dense teacher")
        axes.set(xlabel="MACs left, % of the teacher's", ylabel="test accuracy, %")
        axes.legend(fontsize="x-small")

    def _draw_dots(self, axes, cells, methods, amount, level):
        """The accuracy of each method, a line of the picture each."""
        for place, method in enumerate(methods):
            values = [100 * row["accuracy"] for row in cells.get((method, amount), {}).values()]
            if not values:
                continue
            mean, spread = mean_and_std(values)
            style = {"color": f"C{place % 10}", "marker": "o", "capsize": 3}
            axes.plot(values, [place] * len(values), "|", color="gray")
            axes.errorbar(mean, place, xerr=spread or 0.0, **style)
        if level is not None:
            axes.axvline(level, color="black", linestyle="--")
        axes.set_yticks(range(len(methods)), [self.experiment.label(method) for method in methods])
        axes.set(
            title=f"{amount:.0%} removed",
            xlabel="test accuracy, %; dashed: dense teacher",
            ylim=(len(methods) - 0.5, -0.5),
        )

    def _published(self):
        if not self.published:
            return ""
        ours = {}
        if self.experiment.preset == "full":
            for row in self.rows:
                if row["method"] == self.reference:
                    ours.setdefault(round(100 * row["amount"]), []).append(100 * row["accuracy"])
        lines = []
        for method, base, accuracy, removed in self.published["rows"]:
            near = min(ours, key=lambda amount: abs(amount - removed), default=None)
            text = "not run" if near is None else f"{statistics.mean(ours[near]):.2f} at {near}%"
            lines.append([method, str(base), f"{accuracy:.2f}", f"{removed}%", text])
        header = ["published, other code", "base, %", "pruned, %", "MACs gone", "ours, full preset"]
        return (
            f"Published for the whole network ({self.published['whole']}), on the lossless images; "
            "not comparable with a narrow network or a subset.\n\n" + markdown_lines(header, lines)
        )


def _inside(rows):
    """Six texts on the cascades of several seeds."""
    names = list(rows[0]["levels"])

    def over_seeds(value):
        return statistics.mean(value(row) for row in rows)

    def each(figure, form, only_joint=lambda records: records):
        texts = []
        for name in names:
            values = [
                statistics.mean(r["levels"][name][figure] for r in only_joint(_joint(row)))
                for row in rows
                if figure in _joint(row)[-1]["levels"][name]
            ]
            texts.append(f"{statistics.mean(values):{form}}" if values else "-")
        return " / ".join(texts)

    before = " / ".join(
        f"{over_seeds(lambda row, name=name: 100 * row['levels'][name]['accuracy']):.2f}"
        for name in names
    )
    gain = over_seeds(lambda row: 100 * (row["accuracy"] - row["levels"]["student"]["accuracy"]))
    return [
        before,
        each("kl", ".3f", lambda records: records[-1:]),
        each("flips", ".0f", lambda records: [r for r in records if _flips(r)] or records),
        each("gradient_share", ".2f"),
        each("saliency_correlation", ".2f", lambda records: records[-1:]),
        f"{gain:+.2f}",
    ]


def _times_as_long(rows, by_labels):
    """How long cascades trained, over iterative Taylor of the same seed."""
    pairs = [
        row["seconds"] / by_labels[row["seed"]]["seconds"]
        for row in rows
        if row["seed"] in by_labels
    ]
    return with_spread(*mean_and_std(pairs), ".1f")


def _joint(row):
    return [record for record in row["epochs"] if "levels" in record]


def _flips(record):
    return sum(level.get("flips", 0) for level in record["levels"].values())


def run():
    """Runs the script with absl's flags."""
    user_errors.run(main)


if __name__ == "__main__":
    run()
