"""docs/latency.md says what the rows of benchmarks/latency.py say."""

import importlib.util
import pathlib

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "latency_page.py"
# variant, amount, round_to, MACs' ratio, milliseconds with one thread in float32
VARIANTS = (
    ("whole", None, None, 1.0, 12.0),
    ("channels", 0.5, 1, 2.0, 8.0),
    ("channels", 0.5, 8, 2.0, 7.5),
    ("channels", 0.75, 8, 4.0, 4.0),
    ("weights", 0.5, 8, 1.0, 12.5),
    ("target", 0.4, 8, 3.0, 5.0),
)


@pytest.fixture(scope="module")
def page():
    specification = importlib.util.spec_from_file_location("page_of_latencies", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def rows():
    for precision, threads in (("float32", 1), ("float32", 2), ("int8", 1), ("int8", 2)):
        for variant, amount, round_to, macs_ratio, milliseconds in VARIANTS:
            yield {
                "model": "Net", "variant": variant, "amount": amount, "round_to": round_to,
                "precision": precision, "threads": threads, "macs_ratio": macs_ratio,
                "bytes": (4000 if precision == "float32" else 1000) / macs_ratio,
                "median_ms": milliseconds / threads, "speedup": 12.0 / milliseconds,
            }  # fmt: skip


def test_a_section_has_every_variant(page):
    configuration = {"image_size": 224, "runs": 15, "settled": True}
    result = {"rows": list(rows()), "configuration": configuration, "versions": {"keras": "3"}}
    lines = page._section(result).splitlines()
    assert lines[0] == "## Net"
    assert "224 pixels; timed runs of each file: 15, each after untimed ones. keras 3." in lines[2]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    header, _, *found = cells
    assert len(found) == len(VARIANTS) and all(len(row) == len(header) for row in found)
    assert found[0][0] == "whole" and found[0][5:7] == ["12.0 ms", "6.0 ms"]
    assert found[3][0] == "75% of the MACs removed"
    assert found[3][1:6] == ["8", "÷ 4.00", "÷ 4.00", "÷ 4.00", "3.00 (0.75)"]
    assert found[4][0] == "zeros" and found[4][5] == "0.96 (0.96)"
    assert found[5][0].startswith("asked: 40% of the time")


def test_findings_are_of_multiples_of_eight(page):
    reached, *others, targets, zeros = page._findings(list(rows()))
    assert len(others) == 3
    assert "Net, float32, threads: 1: " in reached and "is 0.78 of the ratio" in reached
    assert "(0.75 to 0.80 over the amounts)" in reached
    # 5.0 of 12.0 ms where 40% were asked for
    assert "by at most 4.2% (of 1 targets)" in targets
    assert "0.96 to 0.96 times as fast" in zeros


def test_layers_are_shares_in_percent(page):
    row = {"model": "Net", "kind": "Conv2D 3x3", "calls": 2, "macs_share": 0.9, "ms_share": 0.7}
    row |= {"macs_left": 0.25, "ms_left": 0.4}
    configuration = {"amount": 0.75, "round_to": 8, "threads": 1}
    shown = page._layers({"rows": [row], "configuration": configuration})
    assert "75% of the MACs removed, channels in multiples of 8, float32, threads: 1." in shown
    assert "| Net | Conv2D 3x3 | 2 | 90.0 | 70.0 | 25.0 | 40.0 |" in shown
