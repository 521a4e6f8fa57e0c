"""What stands out in a study, computed from its rows and from nothing else.

A difference counts as clear where it exceeds one standard deviation over the seeds. With a few
seeds that is a hint of where to look, no test of significance; the pages that show it say so.
"""

import collections

from keras_cascade.report.study_summary import finished, label, percent, summarise_cells
from keras_cascade.report.summary import markdown_lines, mean_and_std, with_spread

_WEIGHT, _CHANNEL = "weight pruning, gain of distillation", "channel pruning, gain of distillation"
_CASCADE = "cascade without assistants less weight pruning, distilled"
_IN_WORDS = (_WEIGHT, _CHANNEL, _CASCADE)

# What is compared, and the two methods whose accuracies are subtracted, first less second.
COMPARISONS = (
    (_WEIGHT, "weight_pruning_distilled", "weight_pruning"),
    (_CHANNEL, "channel_pruning_distilled", "channel_pruning"),
    ("weight less channel pruning", "weight_pruning", "channel_pruning"),
    (
        "weight less channel pruning, both distilled",
        "weight_pruning_distilled",
        "channel_pruning_distilled",
    ),
    (
        "cascade without assistants less one-shot, distilled",
        "cascade_0",
        "channel_pruning_distilled",
    ),
    (_CASCADE, "cascade_0", "weight_pruning_distilled"),
    ("gain of 1 assistant over none", "cascade_1", "cascade_0"),
    ("gain of 2 assistants over none", "cascade_2", "cascade_0"),
    ("gain of 3 assistants over none", "cascade_3", "cascade_0"),
)


def leaders(rows):
    """The two methods of highest mean accuracy, for every data set, model and amount above 0.

    Args:
        rows: list of dicts, as a study writes them.

    Returns:
        List of dicts with dataset, model, amount, best and second (cells of `summarise_cells`;
        second is None where only one method has results), lead (points), std (the larger of the
        two, None where one has a single seed) and clear: whether the lead exceeds it, None where
        that cannot be said.
    """
    found = []
    for (dataset, model, amount), cells in _settings(rows).items():
        ranked = sorted(cells, key=lambda cell: -cell["accuracy"])
        best, second = ranked[0], ranked[1] if len(ranked) > 1 else None
        lead = std = clear = None
        if second is not None:
            lead = best["accuracy"] - second["accuracy"]
            spreads = best["accuracy_std"], second["accuracy_std"]
            if None not in spreads:
                std = max(spreads)
                clear = lead > std
        found.append(
            {
                "dataset": dataset, "model": model, "amount": amount, "best": best,
                "second": second, "lead": lead, "std": std, "clear": clear,
            }
        )  # fmt: skip
    return found


def differences(rows):
    """Accuracy of one method less that of another, paired by seed.

    Args:
        rows: list of dicts, as a study writes them.

    Returns:
        List of dicts with dataset, model, amount and, for each of `COMPARISONS` by its name, a
        tuple of mean and standard deviation in points and the number of pairs. A comparison
        without pairs is not in it, nor a setting without comparisons.
    """
    accuracies = {}
    for row in finished(rows):
        cell = row["dataset"], row["model"], row["amount"], row["method"]
        accuracies.setdefault(cell, {})[row["seed"]] = 100 * row["accuracy"]
    found = []
    for setting in _settings(rows):
        compared = {}
        for name, method, baseline in COMPARISONS:
            one, other = (accuracies.get((*setting, each), {}) for each in (method, baseline))
            pairs = [one[seed] - other[seed] for seed in one if seed in other]
            if pairs:
                compared[name] = *mean_and_std(pairs), len(pairs)
        if compared:
            found.append(dict(zip(("dataset", "model", "amount"), setting, strict=True)) | compared)
    return found


def leaders_table(found):
    """What `leaders` returned as header and rows of strings."""
    header = [
        "data set", "model", "removed, %", "best", "accuracy, %", "second", "accuracy, %",
        "lead, points", "verdict",
    ]  # fmt: skip
    return header, [_leader_cells(each) for each in found]


def differences_table(found):
    """What `differences` returned as header and rows of strings, without empty comparisons."""
    names = [name for name, _, _ in COMPARISONS if any(name in each for each in found)]
    rows = []
    for each in found:
        texts = (_difference(*each.get(name, (None, None, 0))) for name in names)
        rows.append([each["dataset"], each["model"], percent(each["amount"]), *texts])
    return ["data set", "model", "removed, %", *names], rows


def markdown(rows):
    """The findings as Markdown: sentences, best methods, differences; returns a string."""
    tables = (leaders_table(leaders(rows)), differences_table(differences(rows)))
    parts = ["\n".join(f"- {sentence}" for sentence in sentences(rows))]
    parts += [markdown_lines(header, lines) for header, lines in tables if lines]
    return "\n\n".join(part for part in parts if part)


def sentences(rows):
    """The findings in words.

    Args:
        rows: list of dicts, as a study writes them.

    Returns:
        List of strings; empty where there is nothing to compare.
    """
    found = [each for each in leaders(rows) if each["second"]]
    return [*_on_leaders(found), *_on_distillation(differences(rows))]


def _settings(rows):
    """Cells by data set, model and amount; the unpruned networks, amount 0, compete in none."""
    settings = {}
    for cell in summarise_cells(rows):
        if cell["amount"] > 0:
            settings.setdefault((cell["dataset"], cell["model"], cell["amount"]), []).append(cell)
    return settings


def _leader_cells(each):
    texts = [each["dataset"], each["model"], percent(each["amount"])]
    for cell in (each["best"], each["second"]):
        if cell is None:
            texts += ["-", "-"]
        else:
            accuracy = with_spread(cell["accuracy"], cell["accuracy_std"], ".2f")
            texts += [label(cell["method"]), accuracy]
    return [*texts, "-" if each["lead"] is None else f"{each['lead']:.2f}", _verdict(each)]


def _verdict(each):
    if each["second"] is None:
        return "nothing to compare with"
    if each["clear"] is None:
        return "no spread known: a single seed"
    return "leads by more than one std" if each["clear"] else "no clear winner: within one std"


def _difference(mean, std, pairs):
    return "-" if mean is None else f"{with_spread(mean, std, '+.2f')} ({pairs})"


def _on_leaders(found):
    judged = [each for each in found if each["clear"] is not None]
    clear = collections.Counter(each["best"]["method"] for each in judged if each["clear"])
    if judged:
        yield (
            "Settings (data set, model, amount) in which the best method by mean accuracy leads "
            "the second by more than the larger standard deviation of the two: "
            f"{clear.total()} of {len(judged)}. In the others there is no clear winner."
        )
    if clear:
        parts = (f"{label(method)} ({count})" for method, count in clear.most_common())
        yield f"Settings with a clear lead, by method: {'; '.join(parts)}."
    if len(judged) < len(found):
        yield (
            "Settings in which the best or the second has a single seed, so that nothing can be "
            f"said about its lead: {len(found) - len(judged)} of {len(found)}."
        )


def _on_distillation(found):
    """In how many settings distillation moved accuracy, up or down, by more than its spread."""
    for name, method, baseline in COMPARISONS:
        gains = [each[name] for each in found if name in each and each[name][1] is not None]
        if name in _IN_WORDS and gains:
            up = sum(mean > std for mean, std, _ in gains)
            down = sum(-mean > std for mean, std, _ in gains)
            yield (
                f"Paired: {label(method)} against {label(baseline)}: better by more than "
                f"one standard deviation of the differences in {up} of {len(gains)} settings, "
                f"worse by more than one in {down}, within one in {len(gains) - up - down}."
            )
    both = [
        (each[_WEIGHT], each[_CHANNEL])
        for each in found
        if all(name in each and each[name][1] is not None for name in (_WEIGHT, _CHANNEL))
    ]
    if both:
        apart = [w[0] - c[0] for w, c in both if abs(w[0] - c[0]) > max(w[1], c[1])]
        weight = sum(gap > 0 for gap in apart)
        yield (
            f"What distillation adds is larger for weight pruning in {weight} of {len(both)} "
            f"settings and for channel pruning in {len(apart) - weight}; in "
            f"{len(both) - len(apart)} the two differ by no more than the larger standard "
            "deviation."
        )
