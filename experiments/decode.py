"""Decodes data sets of TFDS once, for machines that have no TensorFlow: `data.decode` as a script.

    python experiments/decode.py --datasets=cifar10,cifar100 --output_dir=decoded
    python experiments/decode.py --datasets=imagenette/160px-v2 --image_size=96 --output_dir=decoded

Copy the files to such a machine, and load them with `data.load(NAME, decoded=FOLDER)`.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))
import quiet_start  # isort: skip  # noqa: E402, F401

from absl import flags  # noqa: E402

from keras_cascade import data, report  # noqa: E402
from keras_cascade.cli import user_errors  # noqa: E402

flags.DEFINE_list("datasets", None, "TFDS names of small images, such as cifar10,cifar100.")
flags.DEFINE_string("data_dir", None, "Where TFDS keeps its data sets; default: its own folder.")
flags.DEFINE_integer(
    "image_size", None, "Side in pixels of what is stored, for large images; default: as they are."
)
flags.DEFINE_string("output_dir", None, "Where the files are written: NAME.npz.")
flags.mark_flags_as_required(["datasets", "output_dir"])

FLAGS = flags.FLAGS


def main():
    folder = report.writable_folder(FLAGS.output_dir)
    for name in FLAGS.datasets:
        print(data.decode(name, folder, FLAGS.data_dir, FLAGS.image_size))


def run():
    """Runs the script; what its user can put right ends in one line."""
    user_errors.run(main)


if __name__ == "__main__":
    run()
