"""Metrics that weigh accuracy against size, against numbers worked out by hand."""

import gzip
import math
import os

import pytest

import keras_cascade as kc
from keras_cascade.profile import gzipped_bytes

ORIGINAL = {"original_accuracy": 0.8, "original_params": 1000}


@pytest.mark.parametrize(
    ("accuracy", "params", "expected"),
    [
        (0.8, 1000, 0.0),  # the original itself
        (0.8, 250, 0.75),  # as good with a quarter of the params
        (0.6, 500, 0.375),  # 3/4 of the accuracy, 1/2 of the params gone
        (0.0, 100, 0.0),
        (0.4, 1500, -0.25),  # 1/2 of the accuracy, half as large again
        (1.0, 200, 1.0),  # 5/4 of the accuracy, 4/5 of the params gone
    ],
)
def test_performance_efficiency_by_hand(accuracy, params, expected):
    assert kc.performance_efficiency(accuracy, params, **ORIGINAL) == pytest.approx(expected)


def test_another_definition_takes_the_same_numbers():
    def points_lost_per_param(*, accuracy, params, original_accuracy, original_params):
        return 100 * (original_accuracy - accuracy) / (original_params - params)

    value = kc.performance_efficiency(0.7, 800, **ORIGINAL, definition=points_lost_per_param)
    assert value == pytest.approx(10 / 200)


@pytest.mark.parametrize(
    ("accuracy", "params", "macs", "weights", "expected"),
    [
        (1.0, 1e6, 1e9, {}, 80.0),  # 20 * 2 * log10(100)
        (0.1, 1e6, 1e9, {}, 40.0),
        (1.0, 1e8, 1e9, {}, 60.0),  # 100 times the params: 20 * 0.5 * 2 less
        (1.0, 1e6, 1e7, {}, 100.0),  # a hundredth of the MACs: 20 * 0.5 * 2 more
        (0.5, 4e6, 2e9, {}, 20 * math.log10(2500 / math.sqrt(8))),
        (1.0, 1e7, 1e10, {"alpha": 1, "beta": 2, "gamma": 0}, 20 * (2 - 2)),
    ],
)
def test_netscore_by_hand(accuracy, params, macs, weights, expected):
    assert kc.netscore(accuracy, params, macs, **weights) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"accuracy": 63.0}, "accuracy must be a fraction from 0 to 1"),
        ({"accuracy": -0.1}, "accuracy must be a fraction"),
        ({"accuracy": math.nan}, "accuracy must be a fraction"),
        ({"params": 0}, "params must be a finite number above 0, not 0"),
        ({"params": -5}, "params must be"),
        ({"params": math.inf}, "params must be"),
    ],
)
@pytest.mark.parametrize("metric", ["performance_efficiency", "netscore"])
def test_nonsense_is_refused_by_both(metric, changed, message):
    good = {"accuracy": 0.5, "params": 10}
    good |= {"macs": 10} if metric == "netscore" else ORIGINAL
    getattr(kc, metric)(**good)
    with pytest.raises(ValueError, match=message):
        getattr(kc, metric)(**(good | changed))


@pytest.mark.parametrize("changed", [{"original_accuracy": 0.0}, {"original_params": 0}])
def test_an_original_without_worth_is_refused(changed):
    with pytest.raises(ValueError, match=f"{next(iter(changed))} must be a finite number above 0"):
        kc.performance_efficiency(0.5, 10, **(ORIGINAL | changed))


@pytest.mark.parametrize("changed", [{"accuracy": 0.0}, {"macs": 0}])
def test_netscore_has_no_value_at_zero(changed):
    with pytest.raises(ValueError, match=f"{next(iter(changed))} must be a finite number above 0"):
        kc.netscore(**({"accuracy": 0.5, "params": 10, "macs": 10} | changed))


def test_gzipped_bytes(tmp_path):
    random, zeros = tmp_path / "random", tmp_path / "zeros"
    random.write_bytes(os.urandom(4096))
    zeros.write_bytes(bytes(4096))
    assert gzipped_bytes(zeros) < 64 < 4096 < gzipped_bytes(random) < 4160
    with gzip.open(tmp_path / "packed", "wb", compresslevel=9) as file:
        file.write(zeros.read_bytes())
    # The gzip module puts the name of the file into its header too, and a zero after it.
    assert gzipped_bytes(zeros) == (tmp_path / "packed").stat().st_size - len("packed\0")
    again = tmp_path / "of another name and time"
    again.write_bytes(zeros.read_bytes())
    os.utime(again, (0, 0))
    assert gzipped_bytes(again) == gzipped_bytes(zeros)
