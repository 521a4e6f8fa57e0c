"""What one-shot pruning costs: its seconds against rebuilding the model, and its peak memory.

Seconds. "Ours" is all that `prune` does without verification: the channel graph, the L1 ranking,
the rebuilt layers and the copied weights. "Rebuild" is the least a copy costs in plain Keras:
`from_config(get_config())` and `set_weights(get_weights())` of the whole model, done anew. Both
take turns on a fresh model, several times, so that their ratio holds on a machine whose speed
drifts; medians count. Milliseconds an operation stay level where time grows linearly with
the size of the graph.

Torch-Pruning's MagnitudePruner takes its turns too where it is installed (the torch-pruning
extra). It is timed from the trace to the last cut, on a model made beforehand. It cuts that model
in place, so it copies nothing, and it removes a share of every layer's channels, not of the budget.

Memory. On Linux, a fresh process for each model and contestant, its resident memory (RSS) read
before the model is built, with model and result (garbage collected), and at its peak while the
contestant works. "Passing" is the peak less what stays: the arrays and objects needed on the way.
Weights and passing together may take 2.2 times the model's weights and once the result's. "Objects"
is what stays beyond the weights of both: Keras's layers and graphs, which any model has. Freed
memory must return to the system, or peaks would hide in what an allocator keeps; so malloc is
told to map arrays one by one, and oneDNN, whose allocator keeps all, is off.

    python benchmarks/surgeon.py --output=benchmarks/surgeon.json
"""

import concurrent.futures
import copy
import gc
import importlib.metadata
import importlib.util
import multiprocessing
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))
import quiet_start  # isort: skip  # noqa: E402, F401

import keras  # noqa: E402
import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402

import keras_cascade as kc  # noqa: E402
from keras_cascade import report  # noqa: E402
from keras_cascade.saliency.criteria import l1  # noqa: E402
from keras_cascade.saliency.ranking import Ranking  # noqa: E402
from keras_cascade.table import text_table  # noqa: E402

TORCHVISION_NAMES = {
    "ResNet50": "resnet50",
    "DenseNet121": "densenet121",
    "MobileNetV2": "mobilenet_v2",
    "EfficientNetB0": "efficientnet_b0",
}
RATIO_LIMIT = 1.5
MEMORY_LIMIT = 2.2
GIVES_MEMORY_BACK = {"MALLOC_MMAP_THRESHOLD_": "16384", "TF_ENABLE_ONEDNN_OPTS": "0"}

flags.DEFINE_list(
    "models",
    [*TORCHVISION_NAMES, "NASNetMobile", "NASNetLarge"],
    "Models of keras.applications to time.",
)
flags.DEFINE_list(
    "memory_models", [*TORCHVISION_NAMES, "VGG16", "NASNetLarge"], "Models to measure memory of."
)
flags.DEFINE_float("amount", 0.5, "Fraction of the budget to remove.")
flags.DEFINE_enum("budget", "macs", ["macs", "params", "channels"], "What amount is a part of.")
flags.DEFINE_enum("scope", "layer", ["layer", "global"], "How channels are ranked.")
flags.DEFINE_integer("turns", 5, "Turns of each contestant, after one to warm up.", lower_bound=1)
flags.DEFINE_boolean("torch", True, "Whether Torch-Pruning takes part where it is installed.")
flags.DEFINE_string("output", None, "Where to write the figures as JSON.")

FLAGS = flags.FLAGS
CONFIGURATION = ("amount", "budget", "scope", "turns")


def main(_):
    results = {"seconds": [_seconds(name) for name in FLAGS.models]}
    results["seconds"].sort(key=lambda row: row["operations"])
    print(_seconds_table(results["seconds"]))
    if pathlib.Path("/proc/self/clear_refs").exists():
        results["memory"] = [_memory(name) for name in FLAGS.memory_models]
        print("\n" + _memory_table(results["memory"]))
    else:
        print("\nMemory is not measured: only Linux lets a process reset its peak.")
    if FLAGS.output:
        configuration = {flag: FLAGS[flag].value for flag in CONFIGURATION}
        report.write_json(
            FLAGS.output,
            {**results, "configuration": configuration, "versions": _versions()},
        )


# The contestants


def _prune(model, amount, budget, scope):
    """Ours: the pruned model, and the seconds that its parts took."""
    started = time.perf_counter()
    graph = kc.ChannelGraph(model)
    traced = time.perf_counter()
    ranking = Ranking(graph, budget, scope, round_to=1, min_channels=4)
    masks = graph.masks(ranking.keep(l1(graph), amount))
    ranked = time.perf_counter()
    small = kc.Surgeon(model, graph).extract(masks, verify=False)
    ended = time.perf_counter()
    parts = {"trace": traced - started, "rank": ranked - traced, "extract": ended - ranked}
    return small, {**parts, "ours": ended - started}


def _rebuild(model, *_):
    """The same model anew, as Keras copies models."""
    started = time.perf_counter()
    copied = type(model).from_config(model.get_config())
    copied.set_weights(model.get_weights())
    return copied, {"rebuild": time.perf_counter() - started}


def _torch_pruning(model, amount, scope):
    """Torch-Pruning, in place, the classifier kept whole."""
    import torch
    import torch_pruning

    image = torch.zeros(1, 3, 224, 224)
    classifiers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    started = time.perf_counter()
    pruner = torch_pruning.pruner.MagnitudePruner(
        model,
        image,
        importance=torch_pruning.importance.MagnitudeImportance(p=1),
        global_pruning=scope == "global",
        pruning_ratio=amount,
        ignored_layers=classifiers,
    )
    pruner.step()
    return model, {"torch_pruning": time.perf_counter() - started}


# Seconds


def _seconds(name):
    """One row: the median seconds of every contestant on one architecture."""
    choice = FLAGS.amount, FLAGS.budget, FLAGS.scope
    torch_model = _torch_model(name)
    seconds = {}
    for turn in range(FLAGS.turns + 1):
        for contestant in (_prune, _rebuild):
            model = _model(name)
            _, parts = contestant(model, *choice)
            _note(seconds, parts, turn)
            operations, weights = len(kc.ChannelGraph(model).trace.calls), model.count_params()
            del model, _
        if torch_model is not None:
            _note(seconds, _torch_pruning(copy.deepcopy(torch_model), *choice[::2])[1], turn)
            gc.collect()
    medians = {part: statistics.median(values) for part, values in seconds.items()}
    row = {
        "model": name,
        "operations": operations,
        "params": weights,
        "seconds": medians,
        "milliseconds_an_operation": 1000 * medians["ours"] / operations,
        "ratio_to_rebuild": medians["ours"] / medians["rebuild"],
    }
    if "torch_pruning" in medians:
        row["ratio_to_torch_pruning"] = medians["ours"] / medians["torch_pruning"]
    return row


def _note(seconds, parts, turn):
    if turn:  # the first turn loads and compiles
        for part, value in parts.items():
            seconds.setdefault(part, []).append(value)


def _model(name):
    """A fresh model, with nothing left over of those before it."""
    keras.backend.clear_session()
    gc.collect()
    return getattr(keras.applications, name)(weights=None)


def _torch_model(name):
    packages = ("torch", "torchvision", "torch_pruning")
    if not FLAGS.torch or name not in TORCHVISION_NAMES:
        return None
    if any(importlib.util.find_spec(package) is None for package in packages):
        return None
    import torchvision

    return getattr(torchvision.models, TORCHVISION_NAMES[name])(weights=None).eval()


def _seconds_table(rows):
    header = ["model", "operations", "params", "trace", "rank", "extract", "ours", "rebuild"]
    header += ["ms/operation", f"to rebuild (limit {RATIO_LIMIT})", "Torch-Pruning", "to it"]
    return text_table(header, [_seconds_cells(row) for row in rows])


def _seconds_cells(row):
    seconds = row["seconds"]
    parts = [f"{seconds[part]:.3f}" for part in ("trace", "rank", "extract", "ours", "rebuild")]
    torch = ["-", "-"]
    if "torch_pruning" in seconds:
        torch = [f"{seconds['torch_pruning']:.3f}", f"{row['ratio_to_torch_pruning']:.2f}"]
    return [
        row["model"],
        row["operations"],
        f"{row['params']:,}",
        *parts,
        f"{row['milliseconds_an_operation']:.2f}",
        f"{row['ratio_to_rebuild']:.2f}",
        *torch,
    ]


# Memory


def _memory(name):
    """One row: the peaks of both contestants on one architecture."""
    choice = FLAGS.amount, FLAGS.budget, FLAGS.scope
    contestants = {"ours": _prune, "rebuild": _rebuild}
    return {
        "model": name,
        **{
            key: _in_fresh_process(_footprint, name, contestant, *choice)
            for key, contestant in contestants.items()
        },
    }


def _in_fresh_process(function, *arguments):
    os.environ.update(GIVES_MEMORY_BACK)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def _footprint(name, contestant, *choice):
    """Bytes of the weights, of what else stays, and of what passes, on one architecture."""
    # Libraries load what they load late.
    contestant(keras.applications.MobileNetV2(weights=None, alpha=0.35), *choice)
    before = _fresh_resident()
    model = _model(name)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
    result, _ = contestant(model, *choice)
    peak = _resident("VmHWM")
    stays = _fresh_resident()
    weights, result_weights = _bytes(model), _bytes(result)
    return {
        "model_bytes": weights,
        "result_bytes": result_weights,
        "objects_bytes": stays - before - weights - result_weights,
        "passing_bytes": peak - stays,
        "peak_bytes": peak - before,
        "times_the_model": (weights + peak - stays) / weights,
    }


def _fresh_resident():
    keras.backend.clear_session()
    gc.collect()
    return _resident("VmRSS")


def _resident(entry):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(entry):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status does not tell {entry}.")


def _bytes(model):
    return sum(
        int(np.prod(weight.shape)) * np.dtype(weight.dtype).itemsize for weight in model.weights
    )


def _memory_table(rows):
    sizes = ("model", "result", "objects", "passing", "peak")
    times = f"(model + passing) / model (limit {MEMORY_LIMIT})"
    return text_table(
        ["MiB", "of", *sizes, times],
        [
            [row["model"], contestant]
            + [f"{row[contestant][f'{size}_bytes'] / 2**20:.0f}" for size in sizes]
            + [f"{row[contestant]['times_the_model']:.2f}"]
            for row in rows
            for contestant in ("ours", "rebuild")
        ],
    )


def _versions():
    found = report.versions()
    for package in ("torch", "torchvision", "torch-pruning"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


if __name__ == "__main__":
    app.run(main)
