"""docs/latency.md from what latency.py and layer_latency.py measured.

python benchmarks/latency_page.py benchmarks/latency_*.json benchmarks/layer_latency.json
"""

import json
import pathlib
import statistics
import sys

from keras_cascade.report.files import whole_file
from keras_cascade.report.summary import markdown_lines

_PAGE = """# What fewer channels are worth on LiteRT

Each model was pruned in one shot to so many of its MACs (L2, kept channels a multiple of *round
to*) and timed on XNNPACK, batch 1. All files of one model, precision and number of threads take
turns; milliseconds are medians. Weights are random: what is measured does not depend
on them. Written by benchmarks/latency_page.py from benchmarks/latency_*.json, which `make bench`
measures for four networks; a section has what was measured so far. Do not edit by hand.

A *speed-up* is the whole model's time over the pruned one's, and in brackets that over the ratio
of MACs: 1.00 says that time falls as MACs do. *Zeros* is TF-MOT's model with as many non-zero
params as the model above it has params.

{sections}
{layers}## What it says

{findings}
"""
_LAYERS = """## Where the time is

By kind of layer, each with what the runtime fuses into it, as `LatencyTable` measures them: shares
of the whole model's MACs and time, and what pruning leaves of both. MACs of a depthwise convolution
fall as its channels do, those of other convolutions as the product of channels read and made: what
is depthwise weighs the more, the more is removed.

{tables}
"""
_COLUMNS = (("float32", 1), ("float32", 2), ("int8", 1), ("int8", 2))


def main(paths):
    results = [json.loads(pathlib.Path(path).read_text()) for path in paths]
    layers = [result for result in results if "kind" in result["rows"][0]]
    whole = [result for result in results if result not in layers]
    page = _PAGE.format(
        sections="\n".join(map(_section, whole)),
        layers=_LAYERS.format(tables="\n".join(map(_layers, layers))) if layers else "",
        findings="\n".join(
            [
                *_findings([row for result in whole for row in result["rows"]]),
                *_unmet([target for result in whole for target in result["unmet_targets"]]),
            ]
        ),
    )
    with whole_file(pathlib.Path(__file__).parents[1] / "docs" / "latency.md") as path:
        path.write_text(page)


def _section(result):
    rows, options = result["rows"], result["configuration"]
    variants = {}
    for row in rows:
        key = row["model"], row["variant"], row["amount"], row["round_to"]
        variants.setdefault(key, {})[row["precision"], row["threads"]] = row
    whole = {column: row for key, found in variants.items() for column, row in found.items()
             if key[1] == "whole"}  # fmt: skip
    header = ["model", "round to", "MACs", "bytes, float32", "bytes, int8"]
    header += [
        f"{precision}, {threads} thread{'s' * (threads > 1)}" for precision, threads in _COLUMNS
    ]
    table = markdown_lines(header, [_cells(key, found, whole) for key, found in variants.items()])
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    title = ", ".join(dict.fromkeys(row["model"] for row in rows))
    note = (
        f"Images of {options['image_size']} pixels; timed runs of each file: {options['runs']}, "
        f"{'each after untimed ones' if options.get('settled') else 'each after another file'}. "
    )
    return "\n".join([f"## {title}", "", f"{note}{versions}.", "", table, ""])


def _cells(key, found, whole):
    _, variant, amount, round_to = key
    names = {
        "whole": "whole",
        "channels": f"{amount or 0:.0%} of the MACs removed",
        "weights": "zeros",
        "target": f"asked: {amount or 0:.0%} of the time (float32, 1 thread)",
    }
    one = found[_COLUMNS[0]]
    cells = [names[variant], str(round_to or ""), f"÷ {one['macs_ratio']:.2f}"]
    for precision in ("float32", "int8"):
        smaller = whole[precision, 1]["bytes"] / found[precision, 1]["bytes"]
        cells.append(f"÷ {smaller:.2f}")
    for column in _COLUMNS:
        row = found[column]
        speed = f"{row['speedup']:.2f} ({row['speedup'] / row['macs_ratio']:.2f})"
        cells.append(f"{row['median_ms']:.1f} ms" if variant == "whole" else speed)
    return cells


def _layers(result):
    options = result["configuration"]
    table = markdown_lines(
        ["model", "layers", "calls", "MACs, %", "time, %", "MACs left, %", "time left, %"],
        [
            [
                row["model"],
                row["kind"],
                str(row["calls"]),
                *(
                    f"{100 * row[key]:.1f}"
                    for key in ("macs_share", "ms_share", "macs_left", "ms_left")
                ),
            ]
            for row in result["rows"]
        ],
    )
    note = (
        f"{options['amount']:.0%} of the MACs removed, channels in multiples of "
        f"{options['round_to']}, float32, threads: {options['threads']}."
    )
    return "\n".join([note, "", table, ""])


def _findings(rows):
    """One line for each claim that the rows bear out, or do not."""
    for model in dict.fromkeys(row["model"] for row in rows):
        for precision, threads in _COLUMNS:
            reached = [
                row["speedup"] / row["macs_ratio"]
                for row in rows
                if (row["model"], row["precision"], row["threads"]) == (model, precision, threads)
                and (row["variant"], row["round_to"]) == ("channels", 8)
            ]
            yield (
                f"- {model}, {precision}, threads: {threads}: at multiples of 8 the speed-up is "
                f"{statistics.median(reached):.2f} of the ratio of MACs ({min(reached):.2f} to "
                f"{max(reached):.2f} over the amounts)."
            )
    targets = [
        abs(1 / row["speedup"] / row["amount"] - 1)
        for row in rows
        if (row["variant"], row["precision"], row["threads"]) == ("target", "float32", 1)
    ]
    yield (
        f"- Models that `prune_to_latency` made are off the time asked for by at most "
        f"{max(targets):.1%} (of {len(targets)} targets), measured again among the others."
    )
    zeros = [row["speedup"] for row in rows if row["variant"] == "weights"]
    if zeros:
        yield (
            f"- Zeros make a model {min(zeros):.2f} to {max(zeros):.2f} times as fast: the kernels "
            "multiply by them."
        )


def _unmet(targets):
    for target in targets:
        yield f"- {target['model']}, asked for {target['amount']:.0%} of the time: {target['why']}"


if __name__ == "__main__":
    main(sys.argv[1:])
