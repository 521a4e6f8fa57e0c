"""Cuts the least salient channels of a model in one go; the result wants fine-tuning.

keras-cascade prune model.keras --amount=0.5 --budget=macs --output=small.keras
keras-cascade prune model.keras --milliseconds=4 --threads=2 --round_to=8 --output=small.keras
"""

from absl import flags

from keras_cascade.cli import files
from keras_cascade.deploy import QUANTIZATIONS, prune_to_latency
from keras_cascade.graph import ChannelGraph
from keras_cascade.saliency import OneShot
from keras_cascade.surgery import Surgeon, pruning_record
from keras_cascade.table import text_table
from keras_cascade_command import quiet_stderr

flags.DEFINE_float("amount", 0.5, "Fraction of the budget to remove.")
flags.DEFINE_enum(
    "budget",
    "macs",
    ["macs", "params", "channels", "latency"],
    "What --amount is a part of; latency is measured on LiteRT, one thread, float32.",
)
flags.DEFINE_float(
    "milliseconds",
    None,
    "In place of --amount and --budget: what one run on LiteRT shall take on this machine.",
    lower_bound=0,
)
flags.DEFINE_integer("threads", 1, "Threads that LiteRT may use, for --milliseconds.", 1)
flags.DEFINE_enum(
    "quantize", None, QUANTIZATIONS, "Of the LiteRT file that --milliseconds is about."
)
flags.DEFINE_enum(
    "criterion",
    "l2",
    ["l2", "l1", "bn_scale", "fpgm", "random"],
    "What makes a channel salient.",
)
flags.DEFINE_enum("scope", "global", ["global", "layer"], "Over the network, or in every layer.")
flags.DEFINE_integer("round_to", 1, "Kept channels are a multiple of this.", lower_bound=1)
flags.DEFINE_integer("min_channels", 1, "Channels that stay in every group.", lower_bound=1)
flags.DEFINE_list("keep", [], "Layers or channel groups to leave whole.")
flags.DEFINE_string("output", None, "Where to write the smaller model, ending in .keras.")
flags.mark_flag_as_required("output")
flags.adopt_module_key_flags(files)

FLAGS = flags.FLAGS
ARGUMENTS = ["MODEL.keras"]
_CHOICES = ("criterion", "scope", "round_to", "min_channels", "keep")


def main(path):
    """Writes the smaller model and how it was pruned."""
    output = files.output_path(FLAGS.output)
    model = files.load_model(path)
    graph, choices = ChannelGraph(model), {name: FLAGS[name].value for name in _CHOICES}
    cut = _by_amount if FLAGS.milliseconds is None else _by_time
    with quiet_stderr():
        small, masks, asked = cut(graph, choices)
    record = pruning_record(graph, masks, **asked, **choices)
    files.write_pruned(small, output, record)
    rows = [[name, *files.sizes(one)] for name, one in ((path, model), (FLAGS.output, small))]
    print(text_table(["model", *files.SIZES], rows))
    print(f"\nHow it was pruned: {files.record_path(output)}. It wants fine-tuning.")


def _by_amount(graph, choices):
    """The smaller model, its masks, and what was asked for."""
    masks = OneShot(graph, FLAGS.budget, **choices).masks(FLAGS.amount)
    asked = {"amount": FLAGS.amount, "budget": FLAGS.budget}
    return Surgeon(graph.model, graph).extract(masks), masks, asked


def _by_time(graph, choices):
    """The same for milliseconds."""
    asked = {name: FLAGS[name].value for name in ("milliseconds", "threads", "quantize")}
    small, masks, reached = prune_to_latency(graph.model, **asked, **choices)
    print(f"It takes {reached:.3g} ms.\n")
    return small, masks, {**asked, "budget": "latency", "reached_milliseconds": reached}
