"""Cuts the least salient channels of a model in one go; the result wants fine-tuning.

keras-cascade prune model.keras --amount=0.5 --budget=macs --output=small.keras
"""

from absl import flags

from keras_cascade.cli import files
from keras_cascade.graph import ChannelGraph
from keras_cascade.saliency import prune_masks
from keras_cascade.surgery import Surgeon, pruning_record
from keras_cascade.table import text_table

flags.DEFINE_float("amount", 0.5, "Fraction of the budget to remove.")
flags.DEFINE_enum("budget", "macs", ["macs", "params", "channels"], "What --amount is a part of.")
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
_CHOICES = ("budget", "criterion", "scope", "round_to", "min_channels", "keep")


def main(path):
    """Writes the smaller model and how it was pruned."""
    output = files.output_path(FLAGS.output)
    model = files.load_model(path)
    graph = ChannelGraph(model)
    choices = {name: FLAGS[name].value for name in _CHOICES}
    masks = prune_masks(model, FLAGS.amount, **choices)
    small = Surgeon(model, graph).extract(masks)
    record = pruning_record(graph, masks, amount=FLAGS.amount, **choices)
    files.write_pruned(small, output, record)
    rows = [[name, *files.sizes(one)] for name, one in ((path, model), (FLAGS.output, small))]
    print(text_table(["model", *files.SIZES], rows))
    print(f"\nHow it was pruned: {files.record_path(output)}. It wants fine-tuning.")
