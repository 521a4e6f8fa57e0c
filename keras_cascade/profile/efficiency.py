"""One number for how much a smaller model keeps and saves, to rank methods by.

Such a number mixes accuracy and size in proportions that somebody chose: it goes beside the two
in a table, never in their place.
"""

import gzip
import math
import pathlib
from collections.abc import Callable

from keras_cascade.typing import Path


def performance_efficiency(
    accuracy: float,
    params: float,
    *,
    original_accuracy: float,
    original_params: float,
    definition: Callable[..., float] | None = None,
) -> float:
    """Share of the accuracy that is kept, times share of the params that is gone.

        accuracy / original_accuracy * (1 - params / original_params)

    0 for the original itself and for a model that always errs, towards 1 for a tiny model that is
    as good; below 0 if the model grew, above 1 only if it became better than the original.

    The name is Malihi & Heidemann's, "Matching the Ideal Pruning Method with Knowledge
    Distillation for Optimal Compression", Appl. Syst. Innov. 7(4):56, 2024, who judge pruned and
    distilled models by a metric of this name. THEIR FORMULA WAS NOT AT HAND WHEN THIS WAS WRITTEN.
    This one is ours: its values cannot be compared with those in their paper. Whoever has the
    formula passes it as `definition`.

    Args:
        accuracy: of the smaller model, in [0, 1].
        params: its effective parameters: those that are not exactly 0
            (`ModelProfile.nonzero_params`), so that pruned weights and cut channels count alike.
        original_accuracy: of the model it came from, in (0, 1].
        original_params: of the model it came from.
        definition: another formula: a callable that takes the four numbers above as keyword
            arguments of these names and returns one number. None stands for ours.

    Returns:
        Float.

    Raises:
        ValueError: an accuracy is not in its range, or a number of params is not positive.

    Example:

    ```python
    value = kc.performance_efficiency(
        0.63, 20_000, original_accuracy=0.70, original_params=80_000
    )
    assert round(value, 3) == 0.675  # nine tenths of the accuracy, three quarters of the params
    ```
    """
    _check_accuracy("accuracy", accuracy)
    _check_positive_accuracy("original_accuracy", original_accuracy)
    _check_positive("params", params)
    _check_positive("original_params", original_params)
    return (definition or _kept_times_removed)(
        accuracy=accuracy,
        params=params,
        original_accuracy=original_accuracy,
        original_params=original_params,
    )


def netscore(
    accuracy: float,
    params: float,
    macs: float,
    *,
    alpha: float = 2.0,
    beta: float = 0.5,
    gamma: float = 0.5,
) -> float:
    """NetScore: accuracy against size and work on a logarithmic scale, in decibels.

        20 * log10( a**alpha / (p**beta * m**gamma) )

    with a the top-1 accuracy in percent, p the params in millions and m the MACs in billions.
    Other units shift all scores by one constant; differences stay.

    Source: Wong, "NetScore: Towards Universal Metrics for Large-scale Performance Analysis of
    Deep Neural Networks for Practical On-Device Edge Usage", 2018, arXiv 1806.05512.

    Args:
        accuracy: top-1, in (0, 1]; it is turned into percent here.
        params: number of parameters, as counted (not in millions).
        macs: multiply-accumulates of one example, as counted (not in billions).
        alpha, beta, gamma: how much accuracy, params and MACs weigh; the paper's by default.

    Returns:
        Float; larger is better.

    Raises:
        ValueError: accuracy is not in (0, 1], params or MACs are not positive.

    Example:

    ```python
    assert kc.netscore(1.0, params=1e6, macs=1e9) == 80.0
    ```
    """
    _check_positive_accuracy("accuracy", accuracy)
    _check_positive("params", params)
    _check_positive("macs", macs)
    logarithm = (
        alpha * math.log10(100 * accuracy)
        - beta * math.log10(params / 1e6)
        - gamma * math.log10(macs / 1e9)
    )
    return 20 * logarithm


def gzipped_bytes(path: Path) -> int:
    """Size of a file under `gzip -9`: what weights that are set to zero save, if anything.

    Args:
        path: of a file.

    Returns:
        Number of bytes, the same for the same content: neither time nor name goes in.

    Raises:
        OSError: the file cannot be read.
    """
    return len(gzip.compress(pathlib.Path(path).read_bytes(), compresslevel=9, mtime=0))


def _kept_times_removed(*, accuracy, params, original_accuracy, original_params):
    return accuracy / original_accuracy * (1 - params / original_params)


def _check_accuracy(name, value):
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be a fraction from 0 to 1 (not percent), not {value}.")


def _check_positive_accuracy(name, value):
    _check_accuracy(name, value)
    _check_positive(name, value)


def _check_positive(name, value):
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, not {value}.")
