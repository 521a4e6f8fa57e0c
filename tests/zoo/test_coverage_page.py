"""The page of the sweep: what a row's problems are, what is still to do, what is shown."""

import pytest
from zoo import checking, coverage_page

GOOD = {
    "image": 32,
    "filters": 1000,
    "prunable_filters": 1000,
    "kept_whole": {},
    "params": 4000,
    "params_after": 2000,
    "macs": 90000,
    "macs_after": 45000,
    "predicted": True,
    "spreads": [0.3, 0.2],
    "difference": 2e-6,
    "difference_float64": None,
    "reloaded_difference": 0.0,
    "trained": True,
    "seconds": 9.6,
    "problems": [],
}


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"prunable_filters": 949, "kept_whole": {"a: no rule for X": 51}}, "no rule for X"),
        ({"predicted": False}, "predicted params or MACs"),
        ({"difference": 2e-5}, "masked and extracted differ"),
        ({"difference": 2e-5, "difference_float64": 1e-9}, "masked and extracted differ"),
        ({"difference": float("nan")}, "masked and extracted differ"),
        ({"spreads": [0.3, 1e-3]}, "0.001] apart"),
        ({"reloaded_difference": 1e-3}, "once saved and loaded"),
        ({"trained": False}, "training step"),
    ],
)
def test_each_fault_is_a_problem(wrong, message):
    (problem,) = checking.problems({**GOOD, **wrong})
    assert message in problem


def test_rounding_is_no_problem():
    assert checking.problems(GOOD) == []
    assert checking.problems({**GOOD, "difference": 2e-5, "difference_float64": 1e-13}) == []


def test_pending():
    rows = {"A": GOOD, "B": {"problems": ["exit status -9"]}}
    assert coverage_page.pending("ABC", rows) == ["B", "C"]
    assert coverage_page.pending("A", rows) == ["A"]  # all are good: a new run


def test_page():
    kept = {**GOOD, "prunable_filters": 999, "kept_whole": {"a: no rule for X": 1}}
    kept["difference_float64"] = 1e-13
    rows = {"A": GOOD, "B": kept, "C": {"problems": ["exit status -9"], "seconds": 1}}
    text = coverage_page.page(rows, "2026-01-02", {"keras": "3.15"}, "coverage.json")
    assert "2026-01-02, with keras 3.15." in text
    table = "| 32 | 1,000 | 100.0% | 4,000 | 2,000 | 90,000 | 45,000 | 2.0e-06 | 10 |"
    assert f"| A {table}" in text
    assert "| 99.9% |" in text and "| 2.0e-06 (float64: 1.0e-13) |" in text
    assert "- B: no rule for X (1)" in text
    assert "- C: exit status -9" in text
