"""prune_to_latency: one-shot pruning to so many milliseconds, measured."""

import pathlib
import tempfile
from typing import Any

import keras
import numpy as np

from keras_cascade.deploy.artefacts import write_litert
from keras_cascade.deploy.latency import measure_latency
from keras_cascade.deploy.latency_table import LatencyTable
from keras_cascade.graph import ChannelGraph, register_budget
from keras_cascade.saliency import OneShot
from keras_cascade.surgery import Surgeon
from keras_cascade.typing import Masks, Path, Quantization

_ROUNDS = 10
_LEAST_AMOUNT = 1e-6


def prune_to_latency(
    model: keras.Model,
    milliseconds: float,
    *,
    threads: int = 1,
    quantize: Quantization | None = None,
    cache: Path | None = None,
    tolerance: float = 0.05,
    runs: int = 100,
    **choices: Any,
) -> tuple[keras.Model, Masks, float]:
    """Removes channels until one run of the model on LiteRT takes so many milliseconds.

    The amount is a fraction of the latency that `LatencyTable` predicts. The smaller model is
    measured, in turns with the whole one, and the amount corrected until the time fits.

    Args:
        model: a built Functional or Sequential `keras.Model` of fixed input size; it is not
            changed.
        milliseconds: what the median run on one example shall take, on this machine when it is as
            fast as at the start.
        threads, quantize, cache: as for `LatencyTable`.
        tolerance: by what fraction of `milliseconds` the result may be off.
        runs: timed runs of each model.
        **choices: `criterion`, `scope`, `data`, `loss`, `round_to`, `min_channels`, `keep`, as for
            `prune`.

    Returns:
        The smaller model, a functional `keras.Model`; the masks it was cut by; and the milliseconds
        it takes.

    Raises:
        ValueError: the model is as fast already, or cannot be made so fast; and as `prune`.
        ImportError: LiteRT is not installed (the extra `litert`).
        ExportError: Keras runs on PyTorch, which writes no LiteRT files.

    Example:

    ```python
    small, masks, reached = kc.prune_to_latency(model, 4.0, round_to=8)  # milliseconds
    ```
    """
    with tempfile.TemporaryDirectory() as folder:
        stopwatch = _Stopwatch(model, folder, threads, quantize, runs)
        if not 0 < milliseconds < stopwatch.whole:
            raise ValueError(
                "milliseconds must lie between 0 and what the whole model takes, "
                f"{stopwatch.whole:.3g} ms; got {milliseconds}."
            )
        budget = f"latency ({quantize or 'float32'}, threads: {threads})"
        register_budget(budget, LatencyTable(threads=threads, quantize=quantize, cache=cache))
        graph = ChannelGraph(model)
        scored, surgeon = OneShot(graph, budget, **choices), Surgeon(model, graph)
        return _search(scored, surgeon, stopwatch, milliseconds, tolerance)


def _search(scored, surgeon, stopwatch, milliseconds, tolerance):
    """What `prune_to_latency` returns, or raises where nothing is near enough."""
    reachable = scored.reachable()
    if reachable < _LEAST_AMOUNT:
        raise ValueError(
            f"Nothing of '{surgeon.graph.model.name}' may be removed. Lower min_channels or "
            "round_to, or keep fewer layers whole."
        )
    left = milliseconds / stopwatch.whole
    too_little, too_much, tried = 0.0, 1.0, []
    for _ in range(_ROUNDS):
        if not too_little < 1 - left < too_much:
            left = 1 - (too_little + too_much) / 2
        amount = min(1 - left, reachable)
        masks = scored.masks(amount)
        small = surgeon.extract(masks)
        reached = stopwatch.milliseconds(small)
        tried.append((small, masks, reached))
        if abs(reached / milliseconds - 1) <= tolerance / 4:  # measuring anew finds the rest
            break
        at_floors = amount == reachable and reached > milliseconds
        if at_floors:
            break
        if reached > milliseconds:
            too_little = max(too_little, amount)
        else:
            too_much = min(too_much, amount)
        # Latency goes with a power of what is predicted to be left, at first unknown.
        power = np.clip(np.log(reached / stopwatch.whole) / np.log(1 - amount), 0.5, 3.0)
        left = (1 - amount) * (milliseconds / reached) ** (1 / power)
    nearest = min(tried, key=lambda one: abs(one[2] / milliseconds - 1))
    if abs(nearest[2] / milliseconds - 1) <= tolerance:
        return nearest
    if at_floors:
        raise ValueError(
            f"With every channel removed that may be, the model takes {nearest[2]:.3g} ms, more "
            f"than {milliseconds}. Lower min_channels or round_to, or keep fewer layers whole."
        )
    raise ValueError(
        f"The nearest that {len(tried)} rounds came to {milliseconds} ms is {nearest[2]:.3g} ms. "
        "Raise the tolerance, lower round_to, or measure on a machine that does nothing else."
    )


class _Stopwatch:
    """Times models on LiteRT as if the machine stayed as fast as at the start."""

    def __init__(self, model, folder, threads, quantize, runs):
        self._paths = {name: pathlib.Path(folder, f"{name}.tflite") for name in ("whole", "small")}
        self._threads, self._quantize, self._runs = threads, quantize, runs
        write_litert(model, self._paths["whole"], quantize)
        (self.whole,) = self._medians("whole")

    def milliseconds(self, small):
        """What a model takes, by its ratio to the whole one at the same time."""
        write_litert(small, self._paths["small"], self._quantize)
        whole, milliseconds = self._medians("whole", "small")
        return milliseconds / whole * self.whole

    def _medians(self, *names):
        paths = {name: self._paths[name] for name in names}
        found = measure_latency(paths, threads=self._threads, runs=self._runs)
        return [found[name].median_ms for name in names]
