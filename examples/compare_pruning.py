"""Compares ways of pruning on a grid: `keras-cascade compare` as a script.

python examples/compare_pruning.py --models=resnet20@0.5 --datasets=digits --amounts=0.5,0.75 \\
    --seeds=0,1 --output_dir=runs/compare
"""

import quiet_start  # isort: skip  # noqa: F401

import sys

from keras_cascade.cli import commands


def run():
    """Runs the command with this script's flags."""
    commands.run(["keras-cascade", "compare", *sys.argv[1:]])


if __name__ == "__main__":
    run()
