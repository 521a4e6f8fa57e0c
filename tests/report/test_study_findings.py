"""What stands out, on rows where it is plain to see what should."""

import pytest
from study_rows import row

from keras_cascade.report import study_findings


def _seeds(method, *percents, **changed):
    return [row(method, seed=i, accuracy=p / 100, **changed) for i, p in enumerate(percents)]


@pytest.mark.parametrize(
    ("best", "second", "clear", "verdict"),
    [
        ((70, 71, 72), (60, 61, 62), True, "leads by more than one std"),
        ((70, 71, 72), (69, 70.5, 72), False, "no clear winner: within one std"),
        # A lead of 2 against spreads of 1 and 4: the larger one counts.
        ((70, 71, 72), (65, 69, 73), False, "no clear winner: within one std"),
        ((70,), (60,), None, "no spread known: a single seed"),
        ((70, 71), (60,), None, "no spread known: a single seed"),
    ],
)
def test_the_best_method_and_whether_it_leads(best, second, clear, verdict):
    rows = [*_seeds("weight_pruning", *second), *_seeds("cascade_2", *best)]
    # Unpruned networks and other amounts do not compete.
    rows += [row("dense", 0.0, accuracy=0.99), *_seeds("distillation", 50, amount=0.5)]
    small, found = sorted(study_findings.leaders(rows), key=lambda each: each["amount"])
    assert small["second"] is None and small["clear"] is None
    assert (found["best"]["method"], found["second"]["method"]) == ("cascade_2", "weight_pruning")
    assert found["lead"] == pytest.approx(sum(best) / len(best) - sum(second) / len(second))
    assert found["clear"] is clear
    header, (_, cells) = study_findings.leaders_table([small, found])
    assert len(header) == len(cells) and cells[-1] == verdict


def test_the_gain_of_distillation_is_paired_by_seed():
    """Both rise by 1, 2 and 3 points where seeds are paired, whatever the seeds do themselves."""
    rows = [
        *_seeds("weight_pruning", 60, 70, 50),
        *_seeds("weight_pruning_distilled", 61, 72, 53),
        *_seeds("channel_pruning", 60, 61),
        *_seeds("channel_pruning_distilled", 59.0, 60.5, 99),  # seed 2 has no partner
        *_seeds("cascade_0", 59),
        *_seeds("cascade_3", 60),
    ]
    (found,) = study_findings.differences(rows)
    weight, channel = (found[name] for name, _, _ in study_findings.COMPARISONS[:2])
    assert weight == pytest.approx((2.0, 1.0, 3))
    assert channel == pytest.approx((-0.75, 0.125**0.5, 2))
    assert found["gain of 3 assistants over none"] == pytest.approx((1.0, None, 1))
    assert "gain of 1 assistant over none" not in found
    header, (cells,) = study_findings.differences_table([found])
    table = dict(zip(header, cells, strict=True))
    assert table["weight pruning, gain of distillation"] == "+2.00 ± 1.00 (3)"
    assert table["gain of 3 assistants over none"] == "+1.00 (1)"
    assert "gain of 2 assistants over none" not in table


def test_sentences_count_what_the_tables_show():
    rows = []
    for dataset, gain in (("cifar10", 5.0), ("cifar100", 0.0), ("digits", -5.0)):
        for method, extra in (
            ("weight_pruning", 0.0),
            ("weight_pruning_distilled", gain),
            ("channel_pruning", -20.0),
            ("channel_pruning_distilled", -20.0),
        ):
            accuracies = (60 + extra, 61 + extra, 62 + extra + 0.3 * (extra == gain))
            rows += _seeds(method, *accuracies, dataset=dataset)
    text = " ".join(study_findings.sentences(rows))
    assert "the larger standard deviation of the two: 2 of 3." in text
    assert "weight pruning (1)" in text and "weight pruning + distillation (1)" in text
    assert (
        "weight pruning + distillation against weight pruning: better by more than one standard "
        "deviation of the differences in 1 of 3 settings, worse by more than one in 1, within "
        "one in 1." in text
    )
    assert "larger for weight pruning in 1 of 3 settings and for channel pruning in 1; in 1" in text


def test_one_seed_gives_no_verdict():
    rows = [*_seeds("weight_pruning", 60), *_seeds("weight_pruning_distilled", 70)]
    (sentence,) = study_findings.sentences(rows)
    assert sentence.endswith("nothing can be said about its lead: 1 of 1.")
    assert study_findings.sentences([]) == []
