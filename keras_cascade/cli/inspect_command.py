"""Shows what of a model can be cut, what not and why, and what each layer costs.

keras-cascade inspect model.keras
"""

from absl import flags

from keras_cascade.cli import files
from keras_cascade.graph import ChannelGraph
from keras_cascade.table import text_table

flags.adopt_module_key_flags(files)

ARGUMENTS = ["MODEL.keras"]


def main(path):
    """Prints the channel groups and the costs."""
    graph = ChannelGraph(files.load_model(path))
    print(graph.summary())
    print(f"\n{_costs_table(graph)}")


def _costs_table(graph):
    costs = graph.layer_costs()
    total_params = sum(params for params, _ in costs.values())
    known = [macs for _, macs in costs.values() if macs is not None]
    total_macs = sum(known)
    rows = [
        [
            name,
            f"{params:,}",
            f"{params / max(1, total_params):.1%}",
            "-" if macs is None else f"{macs:,}",
            "-" if macs is None else f"{macs / max(1, total_macs):.1%}",
        ]
        for name, (params, macs) in costs.items()
        if params or macs
    ]
    rows.append(["all", f"{total_params:,}", "100%", f"{total_macs:,}" if known else "-", ""])
    return text_table(["layer", "params", "share", "MACs", "share"], rows)
