"""Trains a teacher-assistants-student cascade: `keras-cascade train` as a script.

python examples/train_cascade.py --dataset=digits --model=resnet20 --width=0.5 \\
    --output_dir=runs/digits
"""

import quiet_start  # isort: skip  # noqa: F401

import sys

from keras_cascade.cli import commands


def run():
    """Runs the command with this script's flags."""
    commands.run(["keras-cascade", "train", *sys.argv[1:]])


if __name__ == "__main__":
    run()
