"""Where the time goes before and after pruning: by kind of layer, as `LatencyTable` measures it.

A kind of layer whose share of the time is larger than its share of the MACs gains less from
pruning than its MACs say.

    python benchmarks/layer_latency.py --models=MobileNetV2 --output=benchmarks/layer_latency.json
"""

import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))
import quiet_start  # isort: skip  # noqa: E402, F401

from absl import app, flags  # noqa: E402

import keras_cascade as kc  # noqa: E402
from keras_cascade import report  # noqa: E402
from keras_cascade.deploy import LatencyTable  # noqa: E402
from keras_cascade.models import build_model  # noqa: E402
from keras_cascade.table import text_table  # noqa: E402
from keras_cascade_command import quiet_stderr  # noqa: E402

flags.DEFINE_list("models", ["ResNet50", "MobileNetV2"], "Of keras.applications.")
flags.DEFINE_float("amount", 0.75, "Fraction of the MACs to remove.")
flags.DEFINE_integer("round_to", 8, "Kept channels are a multiple of this.")
flags.DEFINE_integer("threads", 1, "Threads that LiteRT may use.")
flags.DEFINE_integer("image_size", 224, "Height and width of an image.")
flags.DEFINE_string("output", None, "Where to write the figures as JSON.")

FLAGS = flags.FLAGS
CONFIGURATION = ("amount", "round_to", "threads", "image_size")


def main(_):
    rows = [row for name in FLAGS.models for row in _rows(name)]
    header = ["model", "layers", "calls", "MACs", "ms", "MACs left", "ms left"]
    print(
        text_table(
            header,
            [
                [
                    row["model"],
                    row["kind"],
                    row["calls"],
                    f"{row['macs_share']:.1%}",
                    f"{row['ms_share']:.1%}",
                    f"{row['macs_left']:.1%}",
                    f"{row['ms_left']:.1%}",
                ]
                for row in rows
            ],
        )
    )
    if FLAGS.output:
        configuration = {flag: FLAGS[flag].value for flag in CONFIGURATION}
        content = {"rows": rows, "configuration": configuration, "versions": report.versions()}
        report.write_json(FLAGS.output, content)


def _rows(name):
    """A dict for each kind of layer of a model, and one for all of it."""
    size = FLAGS.image_size
    model = build_model("keras.applications." + name, (size, size, 3), 1000, seed=0)
    graph = kc.ChannelGraph(model)
    masks = kc.prune_masks(
        model, FLAGS.amount, round_to=FLAGS.round_to, min_channels=FLAGS.round_to
    )
    with tempfile.TemporaryDirectory() as folder, quiet_stderr():
        cache = pathlib.Path(folder, "latency.json")
        measured = LatencyTable(threads=FLAGS.threads, cache=cache).by_segment(graph)
    kinds = {}
    for segment, terms in measured:
        for kind in (_kind(segment.traced.calls[0].operation), "all"):
            kinds.setdefault(kind, []).append((graph.as_cost(segment.macs), graph.as_cost(terms)))
    whole, small = graph.keep_vector(), graph.keep_vector(masks)

    def total(kind, which, keep):
        return sum(costs[which].total(keep) for costs in kinds[kind])

    for kind, costs in kinds.items():
        macs, ms = total(kind, 0, whole), total(kind, 1, whole)
        yield {
            "model": name,
            "kind": kind,
            "calls": len(costs),
            "macs_share": macs / total("all", 0, whole),
            "ms_share": ms / total("all", 1, whole),
            "macs_left": total(kind, 0, small) / macs if macs else 1.0,
            "ms_left": total(kind, 1, small) / ms,
        }


def _kind(operation):
    size = getattr(operation, "kernel_size", None)
    return type(operation).__name__ + (f" {'x'.join(map(str, size))}" if size else "")


if __name__ == "__main__":
    app.run(main)
