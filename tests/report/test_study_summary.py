"""The summary of a study: figures by hand, what is missing, what must not be averaged."""

import csv
import math

import pytest
from study_rows import many_rows, row

from keras_cascade import report
from keras_cascade.report.study_summary import derive, failed, finished

FAILED = {"dataset": "cifar10", "model": "resnet20", "method": "cascade_1", "amount": 0.75,
          "seed": 0, "error": "NonFiniteLossError: loss is nan"}  # fmt: skip


def test_figures_of_a_row_by_hand():
    figures = derive(row(accuracy=0.6))
    assert figures == pytest.approx(
        {
            "accuracy": 60.0,
            "teacher_accuracy": 80.0,
            "accuracy_change": -20.0,
            "params_share": 25.0,
            "macs_share": 50.0,
            "gzip_share": 25.0,
            "latency_ratio": 0.75,
            "performance_efficiency": 0.75 * 0.75,
            # 60**2 over the roots of 250 params and 5000 MACs, in millions and billions.
            "netscore": 20 * math.log10(3600 / math.sqrt(250e-6 * 5000e-9)),
            "steps": 640,
            "seconds": 30.0,
        }
    )


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({"macs": None}, {"macs_share", "netscore"}),
        ({"teacher_macs": None}, {"macs_share"}),
        ({"latency_ms": None, "teacher_latency_ms": None}, {"latency_ratio"}),
        ({"accuracy": 0.0}, {"netscore"}),
    ],
)
def test_what_was_not_measured_is_missing_and_nothing_else(changed, missing):
    figures = derive(row(**changed))
    assert {name for name, value in figures.items() if value is None} == missing
    _, table_row = report.cells_table(report.summarise_cells([row(**changed)])).split("|\n|---", 1)
    assert table_row.count(" - ") == len(missing)


def test_mean_and_spread_over_seeds():
    """60, 64 and 68 percent against teachers of 80, 82 and 84: the seeds stay paired."""
    rows = [
        row(seed=seed, accuracy=0.60 + 0.04 * seed, teacher_accuracy=0.80 + 0.02 * seed)
        for seed in (0, 1, 2)
    ]
    (cell,) = report.summarise_cells(rows)
    assert cell["seeds"] == [0, 1, 2]
    assert (cell["accuracy"], cell["accuracy_std"]) == pytest.approx((64.0, 4.0))
    assert (cell["accuracy_change"], cell["accuracy_change_std"]) == pytest.approx((-18.0, 2.0))
    assert cell["params_share_std"] == 0.0
    line = report.cells_table([cell]).splitlines()[-1]
    assert line.startswith(
        "| cifar10 | resnet20 | weight pruning | 75 | 3 | 64.00 ± 4.00 | -18.00 ± 2.00 | "
        "25.0 ± 0.0 | 50.0 ± 0.0 | 25.0 ± 0.0 | 0.75 ± 0.00 | 0.585 ± 0.022 |"
    )


def test_one_seed_has_no_spread():
    (cell,) = report.summarise_cells([row()])
    assert all(cell[name] is None for name in cell if name.endswith("_std"))
    assert "±" not in report.cells_table([cell])


def test_a_figure_missing_for_one_seed_is_missing_for_the_cell():
    rows = [row(seed=0), row(seed=1, latency_ms=None), row(seed=2)]
    (cell,) = report.summarise_cells(rows)
    assert cell["latency_ratio"] is None and cell["latency_ratio_std"] is None
    assert cell["accuracy"] == pytest.approx(60.0)


def test_order_is_that_of_the_methods_whatever_that_of_the_rows():
    rows = [row("cascade_2", 0.9), row("mine"), row("cascade_2", 0.75), row("teacher", 0.0)]
    cells = report.summarise_cells([*rows, row("dense", 0.0, dataset="digits")])
    assert [(cell["dataset"], cell["method"], cell["amount"]) for cell in cells] == [
        ("cifar10", "teacher", 0.0),
        ("cifar10", "cascade_2", 0.75),
        ("cifar10", "cascade_2", 0.9),
        ("cifar10", "mine", 0.75),
        ("digits", "dense", 0.0),
    ]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (row(seed=0), "Two results for one seed: resnet20 on cifar10, weight_pruning, amount 0.75"),
        (row(seed=1, settings={"epochs": 9, "batch_size": 64}), "weight_pruning.*differ in epochs"),
    ],
)
def test_rows_that_must_not_be_averaged_are_refused(second, message):
    with pytest.raises(ValueError, match=message):
        report.summarise_cells([row(seed=0), second])


def test_failed_rows_are_kept_out_until_they_finish():
    rows = [row("cascade_1", seed=1), FAILED]
    assert finished(rows) == rows[:1] and failed(rows) == [FAILED]
    assert report.summarise_cells(rows) == report.summarise_cells(rows[:1])
    again = row("cascade_1", seed=0)
    assert failed([*rows, again]) == []
    assert report.summarise_cells([*rows, again])[0]["seeds"] == [1, 0]


def test_csv_holds_every_row_flat(tmp_path):
    rows = [*many_rows(0, seeds=(0,)), FAILED, row(seed=5, macs=None)]
    report.write_csv(rows, tmp_path / "results.csv")
    with open(tmp_path / "results.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(rows) and [path.name for path in tmp_path.iterdir()] == ["results.csv"]
    for line, original in zip(lines, rows, strict=True):
        if "error" in original:
            assert line["error"] == FAILED["error"] and line["params_share"] == ""
            continue
        assert float(line["accuracy"]) == original["accuracy"]  # the fraction, as it was measured
        assert float(line["latency_ms"]) == original["latency_ms"]
        assert line["settings.epochs"] == "8" and line["versions.keras"] == "3.15.1"
        for name, value in derive(original).items():
            if name not in original:
                assert line[name] == ("" if value is None else str(value))
