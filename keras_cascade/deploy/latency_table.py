"""Latency as a budget: what the segments of a model take on LiteRT, at several channel counts.

Each segment (a layer that multiplies, with what the runtime fuses into it) becomes a file of its
own, whole and with three quarters, a half, a quarter and an eighth of every group's channels, and
all of them are timed in turns. At these and other counts a segment is then taken to need

    a + b * (numbers that go in and out) + c * MACs

with a, b, c of its own, none negative, fitted to what was measured. The times are kept in a file,
so that a segment is measured once on a machine, whatever model it is in.
"""

import hashlib
import importlib.metadata
import itertools
import json
import os
import pathlib
import platform
import tempfile
import uuid

import keras
import numpy as np
from keras import tree

from keras_cascade.deploy.artefacts import write_litert
from keras_cascade.deploy.latency import measure_latency
from keras_cascade.graph import ChannelGraph, Cost, Segment, register_budget, segments
from keras_cascade.graph.tracing import TracedTensor
from keras_cascade.report import cache_folder, whole_file
from keras_cascade.surgery import Surgeon
from keras_cascade.typing import Path, Quantization, Terms

_FRACTIONS = (1.0, 0.75, 0.5, 0.25, 0.125)
_LARGEST_PORTION = 8  # runtimes compute channels by the eight or sixteen
_NANOSECONDS = 1e6  # in a millisecond


class LatencyTable:
    """Measured latency of a model's segments on LiteRT, as a function from a graph to its cost.

    `budget="latency"` is one of these with one thread and float32.

    Args:
        threads: how many LiteRT may use.
        quantize: None, "float16", "dynamic" or "int8": of the files that are measured.
        cache: path of the JSON file that keeps what was measured; default:
            `keras_cascade/latency.json` in the user's cache folder.
        runs: timed runs of each segment; the median counts.
        verbose: whether to show a progress bar while segments are measured.

    Example:

    ```python
    table = LatencyTable(threads=2, quantize="int8", cache="latency.json")
    kc.register_budget("latency_int8", table)
    small = kc.prune(model, 0.5, budget="latency_int8", round_to=8)
    ```
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        quantize: Quantization | None = None,
        cache: Path | None = None,
        runs: int = 30,
        verbose: bool = True,
    ) -> None:
        self.threads, self.quantize = threads, quantize
        self.cache = cache_folder() / "latency.json" if cache is None else pathlib.Path(cache)
        self._runs, self._verbose = runs, verbose

    def __call__(self, graph: ChannelGraph) -> Cost:
        """The latency of one example, as a `Cost` in nanoseconds.

        Args:
            graph: `ChannelGraph` of a model of fixed input size.

        Returns:
            A `keras_cascade.graph.Cost`: `total` of a keep vector, `per_unit` of each channel.

        Raises:
            ValueError, ImportError, RuntimeError: as `by_segment`.
        """
        return graph.as_cost([term for _, terms in self.by_segment(graph) for term in terms])

    def by_segment(self, graph: ChannelGraph) -> list[tuple[Segment, Terms]]:
        """The same, segment by segment, as terms of a `Cost`.

        Args:
            graph: as above.

        Returns:
            List of pairs, in the order of the model's calls; `graph.as_cost` takes the terms.

        Raises:
            ValueError: the input size is open, or the cache is no file of ours.
            ImportError: LiteRT is not installed (the extra `litert`).
            RuntimeError: Keras runs on PyTorch, which writes no LiteRT files.
        """
        if not graph.has_fixed_input:
            raise ValueError(
                f"The latency of '{graph.model.name}' depends on its input size, which is not "
                f"fixed: {[tensor.shape for tensor in graph.trace.inputs]}. Build the model with a "
                "fixed input shape, or use budget='params'."
            )
        keeps = [_evenly_kept(graph, fraction) for fraction in _FRACTIONS]
        whole, times = segments(graph), self._times(graph, keeps)
        found: list[tuple[Segment, Terms]] = []
        for segment, milliseconds in zip(whole, times, strict=True):
            elements, macs = graph.as_cost(segment.elements), graph.as_cost(segment.macs)
            features = [[1.0, elements.total(keep), macs.total(keep)] for keep in keeps]
            constant, per_element, per_mac = _fitted(
                np.array(features), _NANOSECONDS * np.array(milliseconds)
            )
            terms = [(constant, [])]
            terms += [(per_element * count, labels) for count, labels in segment.elements]
            terms += [(per_mac * count, labels) for count, labels in segment.macs]
            found.append((segment, terms))
        return found

    def _times(self, graph, keeps):
        """Milliseconds of every segment at every keep vector: for each segment a list."""
        surgeon, rows, made_by = Surgeon(graph.model, graph), [], {}
        for keep in keeps:
            small = ChannelGraph(surgeon.extract(graph.masks(keep), verify=False))
            parts = segments(small)
            rows.append([self._key(part) for part in parts])
            made_by.update(zip(rows[-1], (part.model for part in parts), strict=True))
        known = self._read()
        missing = {key: make for key, make in made_by.items() if key not in known}
        if missing:
            known |= self._measured(missing)
            self._write(known)
        return [[known[key] for key in column] for column in zip(*rows, strict=True)]

    def _measured(self, made_by):
        """Milliseconds of the models that functions make, beyond what starting a run takes."""
        if self._verbose:
            print(f"Measuring {len(made_by)} pieces of the model on LiteRT; kept in {self.cache}.")
        bar = keras.utils.Progbar(len(made_by) + 1, verbose=int(self._verbose))
        with tempfile.TemporaryDirectory() as folder:
            paths = {}
            for number, (key, make) in enumerate([("start", _smallest), *made_by.items()]):
                paths[key] = pathlib.Path(folder, f"{number}.tflite")
                write_litert(make(), paths[key], self.quantize, keep_batch=True)
                bar.update(number + 1)
            found = measure_latency(paths, threads=self.threads, runs=self._runs, warmup=2)
        start = found.pop("start").median_ms
        return {key: max(0.0, one.median_ms - start) for key, one in found.items()}

    def _key(self, segment):
        """Names what is measured: the calls, the shapes, the runtime and the machine."""
        runtime = [
            importlib.metadata.version("ai-edge-litert"),
            self.threads,
            self.quantize,
            platform.node(),
            platform.machine(),
            os.cpu_count(),
        ]
        return hashlib.sha256(
            json.dumps([runtime, segment.rows, _described(segment.traced)]).encode()
        ).hexdigest()

    def _read(self):
        try:
            return dict(json.loads(self.cache.read_text())["milliseconds"].items())
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"'{self.cache}' holds no measured latencies, or is damaged. Delete it, and they "
                "are measured anew."
            ) from error

    def _write(self, known):
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.cache) as temporary:
            temporary.write_text(json.dumps({"milliseconds": known}, indent=1) + "\n")


def _evenly_kept(graph, fraction):
    """A keep vector with this fraction of every group, in whole portions, evenly spread."""
    keep = graph.keep_vector()
    for group in graph.prunable_groups:
        portion = min(_LARGEST_PORTION, max(1, group.size // 8))
        count = min(group.size, max(portion, round(fraction * group.size / portion) * portion))
        kept = np.arange(count) * group.size // count
        keep[group.units] = np.isin(np.arange(group.size), kept)
    for _, units in graph.indispensable:
        keep[units[0]] |= not keep[units].any()
    return keep


def _smallest():
    """A model that does next to nothing."""
    inputs = keras.Input((1,))
    return keras.Model(inputs, keras.layers.ReLU()(inputs))


def _described(traced):
    """A trace as nested lists without names: equal where the same is computed on equal shapes."""
    made = [tensor for call in traced.calls for tensor in call.outputs]
    number = {tensor: index for index, tensor in enumerate([*traced.inputs, *made])}

    def plain(leaf):
        return ["tensor", number[leaf]] if isinstance(leaf, TracedTensor) else repr(leaf)

    calls = [
        [
            type(call.operation).__name__,
            _settings(call.operation),
            tree.map_structure(plain, [list(call.args), call.kwargs]),
        ]
        for call in traced.calls
    ]
    return [
        [[list(tensor.shape), tensor.dtype] for tensor in traced.inputs],
        calls,
        [number[tensor] for tensor in traced.outputs],
    ]


def _settings(operation):
    """What an operation is made from, but for its name, as text."""
    try:
        config = operation.get_config()
    except NotImplementedError:
        return uuid.uuid4().hex  # like no other
    return repr(sorted((key, repr(value)) for key, value in config.items() if key != "name"))


def _fitted(features, times):
    """Coefficients, none negative, with the least sum of squared relative errors."""
    weights = 1.0 / np.maximum(times, times.max() * 1e-3 or 1.0)
    best, least = np.zeros(features.shape[1]), np.inf
    columns = range(features.shape[1])
    for chosen in itertools.chain.from_iterable(
        itertools.combinations(columns, size) for size in range(1, len(columns) + 1)
    ):
        used = features[:, chosen] * weights[:, None]
        found = np.linalg.lstsq(used, times * weights)[0]
        error = np.sum((used @ found - times * weights) ** 2)
        if (found >= 0).all() and error < least:
            least, best = error, np.zeros(len(columns))
            best[list(chosen)] = found
    return best


# Made when it is asked for: the user's cache folder is the one of then.
register_budget("latency", lambda graph: LatencyTable()(graph))
