"""The page of `make chaos` hides nothing that went wrong."""

import copy

import pytest
from chaos import reliability_page

GOOD = {
    "seed": 3,
    "minutes": 9,
    "killed": {
        "kills": 31,
        "survived": 31,
        "runs": 12,
        "damaged": 4,
        "points": {"before a step": 17, "after a step": 14},
    },
    "full_disk": {"message": "No backup could be written: make room.", "lost": [], "same": True},
    "bad_inputs": [{"title": "a level of 0", "answer": "ValueError: a|b", "good": True}],
    "differences": {
        "steps": 20,
        "compared": ["losses", "masks"],
        "left_out": "",
        "rows": {"2 replicas": {"losses": 2.5e-7, "masks": 0.0}},
    },
}


def test_page_holds_what_was_found():
    text = reliability_page.page(GOOD, "reliability.json")
    for piece in (
        "**31 of 31 kills survived**, in 12 runs",
        "| before a step | 17 |",
        "| a level of 0 | ValueError: a\\|b |",
        "| 2 replicas | 2.5e-07 | 0 |",
        "> No backup could be written: make room.",
    ):
        assert piece in text
    assert reliability_page.problems(GOOD) == []


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("killed", "survived"), 29, "2 kills not survived"),
        (("full_disk", "lost"), ["epoch_1"], "a full disk lost something"),
        (("full_disk", "same"), False, "a full disk lost something"),
        (("bad_inputs", 0, "good"), False, "no right answer to a level of 0"),
        (("differences", "rows", "2 replicas", "losses"), 1e-3, "differs in losses by 1.0e-03"),
        (("differences", "rows", "2 replicas", "masks"), 0.1, "differs in masks"),
    ],
    ids=str,
)
def test_what_went_wrong_is_said(path, value, problem):
    results = copy.deepcopy(GOOD)
    entry = results
    for key in path[:-1]:
        entry = entry[key]
    entry[path[-1]] = value
    assert any(problem in one for one in reliability_page.problems(results))
