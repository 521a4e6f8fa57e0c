"""Writes a model for other runtimes, runs each file there, and compares it with the model.

keras-cascade export small.keras --output_dir=out --formats=saved_model,litert
"""

import numpy as np
from absl import flags

from keras_cascade.cli import files
from keras_cascade.deploy import QUANTIZATIONS, export
from keras_cascade.table import text_table
from keras_cascade_command import quiet_stderr

flags.DEFINE_list("formats", ["saved_model", "litert", "onnx"], "What to write.")
flags.DEFINE_enum(
    "quantize", None, list(QUANTIZATIONS), "The LiteRT file; int8 needs --representative_data."
)
flags.DEFINE_string(
    "representative_data",
    None,
    "An .npy file of inputs as the model gets them, to calibrate and compare by.",
)
flags.DEFINE_float(
    "tolerance",
    None,
    "Largest difference of an output allowed, as a fraction of the largest; default: by quantize.",
    lower_bound=0.0,
)
flags.DEFINE_float(
    "min_agreement",
    None,
    "Judge an 8-bit classifier by the least share of examples on which it names the same class, "
    "not by the largest difference. Without it: 0.9, if its outputs are probabilities.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_string("output_dir", None, "The folder to write.")
flags.mark_flag_as_required("output_dir")
flags.adopt_module_key_flags(files)

FLAGS = flags.FLAGS
ARGUMENTS = ["MODEL.keras"]


def main(path):
    """Exports the model and shows how far each file is off."""
    model = files.load_model(path)
    examples, record = _examples(), files.read_record(path)
    with quiet_stderr():
        manifest = export(
            model,
            FLAGS.output_dir,
            FLAGS.formats,
            quantize=FLAGS.quantize,
            representative_data=examples,
            tolerance=FLAGS.tolerance,
            min_agreement=FLAGS.min_agreement,
            pruning=record,
            verbose=True,
        )
    rows = [
        [
            name,
            f"{found['max_difference']:.2e}",
            f"{found['top1_agreement']:.1%}" if "top1_agreement" in found else "-",
        ]
        for name, found in manifest["parity"].items()
    ]
    header = ["on its own runtime", "largest difference", "same class"]
    print(text_table(header, rows))
    print(f"\nCompared on {manifest['examples']} examples. Written to {FLAGS.output_dir}.")


def _examples():
    path = FLAGS.representative_data
    if path is None:
        return None
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:
        raise ValueError(
            f"--representative_data={path} is damaged, or no .npy file of numbers: {error}"
        ) from error
