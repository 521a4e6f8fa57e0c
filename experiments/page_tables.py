"""The tables of docs/results.md: accuracies, differences paired by seed, what went on inside.

A `Cells` holds the rows of one network on one data set; each table is a function of it. What
torch_pruning.py gave has teachers of its own, and so a table of its own.
"""

import collections
import statistics

from keras_cascade.report.summary import markdown_lines, mean_and_std, with_spread


class Cells:
    """The rows of one network on one data set, by method, amount and seed.

    Args:
        experiment: a `study.Experiment`.
        rows: list of rows, as `study.Records` has them.

    Attributes:
        dataset, model: of every row.
        budget: what amounts are of, as texts have it.
        methods: names, those trained, in the experiment's order.
        amounts: those of methods that prune, ascending.
    """

    def __init__(self, experiment, rows):
        self.label, self.rows = experiment.label, rows
        self.dataset, self.model = rows[0]["dataset"], rows[0]["model"]
        budget = rows[0]["settings"]["budget"]
        self.budget = {"macs": "MACs"}.get(budget, budget)
        self._found = collections.defaultdict(dict)
        for row in rows:
            self._found[row["method"], row["amount"]][row["seed"]] = row
        trained = {method for method, _ in self._found}
        self.methods = [method for method in experiment.grid.methods if method in trained]
        self.amounts = sorted({amount for _, amount in self._found if amount})

    def __call__(self, method, amount):
        """The rows of a method at an amount, by seed; {} if it was not run."""
        return self._found.get((method, amount), {})

    def beside(self, method, amount):
        """The same, but of a method that does not prune its only rows."""
        return self(method, amount) or self(method, 0.0)

    def accuracy(self, method, amount):
        """Mean and spread in percent, and of how many seeds, as text; "-" if it was not run."""
        found = self.beside(method, amount).values()
        spread = mean_and_std([100 * row["accuracy"] for row in found])
        return with_spread(*spread, ".2f") + (f" ({len(found)})" if found else "")

    def less(self, reference, method, amount, cells=None):
        """Points of accuracy of one method above another, one for each seed that both have.

        Args:
            reference, method: names.
            amount: of both.
            cells: the `Cells` that `method` is of; default: these.
        """
        own, other = self(reference, amount), (cells or self).beside(method, amount)
        return [
            100 * (own[seed]["accuracy"] - other[seed]["accuracy"])
            for seed in sorted(own)
            if seed in other
        ]

    def seeds(self, method):
        """Of how many seeds there are rows, at the amount that has most."""
        return max((len(found) for (each, _), found in self._found.items() if each == method))


def accuracies(cells):
    """A line a method: accuracy, params and MACs at each amount."""
    header = ["method"]
    for amount in cells.amounts:
        header += [f"{amount:.0%} of the {cells.budget} gone: accuracy, %", "params / MACs left, %"]
    lines = []
    for method in cells.methods:
        line = [cells.label(method)]
        for amount in cells.amounts:
            found = cells.beside(method, amount).values()
            params = [100 * row["nonzero_params"] / row["teacher_params"] for row in found]
            macs = [100 * row["macs"] / row["teacher_macs"] for row in found]
            line.append(cells.accuracy(method, amount))
            means = (with_spread(mean_and_std(each)[0], None, ".1f") for each in (params, macs))
            line.append(" / ".join(means) if found else "-")
        lines.append(line)
    return (
        "Accuracy on the whole test split, mean ± standard deviation (number of seeds).\n\n"
        + markdown_lines(header, lines)
    )


def differences(cells, references):
    """A table for the reference that has most rows, and each other one of several seeds."""
    present = [reference for reference in references if reference in cells.methods]
    if not present:
        return ""
    main = most_trained(cells.rows, references)
    tables = [
        _less(cells, reference)
        for reference in present
        if reference == main or cells.seeds(reference) > 1
    ]
    return "\n\n".join(["Points of accuracy, paired by seed.", *tables])


def most_trained(rows, references):
    """The reference of which there are most rows."""
    trained = [row["method"] for row in rows]
    return max(references, key=trained.count)


def _less(cells, reference):
    lines = []
    for method in cells.methods:
        line = [cells.label(method)]
        for amount in cells.amounts:
            pairs = cells.less(reference, method, amount)
            line.append(with_spread(*mean_and_std(pairs), "+.2f"))
        if method != reference:
            lines.append(line)
    header = [f"{cells.label(reference)} less ...", *(f"{each:.0%} gone" for each in cells.amounts)]
    return markdown_lines(header, lines)


def levels(cells):
    """What went on inside the cascades: means over seeds."""
    lines = []
    for method in cells.methods:
        for amount in cells.amounts:
            found = [row for row in cells(method, amount).values() if "levels" in row]
            if found:
                name = [cells.label(method), f"{amount:.0%}"]
                by_labels = cells("iterative_taylor", amount)
                lines.append([*name, *_inside(found), _times_as_long(found, by_labels)])
    header = [
        "cascade", "gone", "levels before recovery, accuracy, %", "T² KL to the guide, at last",
        "flips an epoch, while pruning", "share of the gradient, mean",
        "rank correlation of saliency with the next larger level's", "recovery adds, points",
        "training took, × iterative Taylor's (beside other work)",
    ]  # fmt: skip
    return markdown_lines(header, lines) if lines else ""


def torch_pruning(rows, file):
    """What torch_pruning.py gave for one network on one data set; "" if nothing.

    Args:
        rows: list of its rows.
        file: name of the file they are in, beside docs/results.
    """
    if not rows:
        return ""
    header = [
        "Torch-Pruning, gone", "its teacher, %", "after sparse learning", "pruned",
        "fine-tuned", "less its teacher", "params left, %", "MACs left, %",
    ]  # fmt: skip
    by_amount = collections.defaultdict(list)
    for row in rows:
        by_amount[row["amount"]].append(row)
    lines = []
    for amount, found in sorted(by_amount.items()):
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
    return (
        "Torch-Pruning's group norm with sparse learning, in PyTorch (experiments/"
        "torch_pruning.py): teachers of its own by the same recipe, as many epochs after them. "
        f"Every row: [results/{file}](results/{file}).\n\n" + markdown_lines(header, lines)
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
