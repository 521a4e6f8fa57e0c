"""The outside baseline: Torch-Pruning's group norm with sparse learning, on the same terms.

Fang et al., "DepGraph: Towards Any Structural Pruning" (CVPR 2023), as its authors prune CIFAR-10
networks with their library. The trained teacher trains on while every group of channels is pulled
towards zero, the less it matters the harder (in place of weight decay). Then the channels of least
group norm, relative to the largest of their group, are removed from the whole network, 1/400 of
them at a time, until enough MACs are gone, and what is left is fine-tuned by the labels. All of
that is the library's; network, data and training are as in keras_cascade, to be compared with its
methods at equal MACs and equal numbers of training images: --sparse_epochs and --fine_tune_epochs
together are those methods' epochs after the teacher.

Ours, and not the authors': learning rates fall as cosines, not in steps, with Nesterov momentum; a
stage's last weights count, not those with the best test accuracy, as the test images are for
results alone; and one sparse network serves all amounts of a seed.

It needs neither Keras nor TensorFlow:

    pip install absl-py numpy torch torch-pruning
    python experiments/torch_pruning.py --data=cifar10.npz --model=vgg16 --width=0.25 \\
        --amounts=0.5,0.75 --seeds=0,1,2 --output=results/torch_pruning.jsonl

Every finished (seed, amount) is one line of --output and is not run again. Teachers, sparse
networks and the state after each epoch are in a folder beside it: a run that was broken off goes on
when the same command is given again. An amount is a part of the MACs as the library counts them
(tp_macs: normalisation, activations, pooling and biases too); macs are those of convolutions and
dense layers, as everywhere in keras_cascade. steps and seconds are those after the teacher; of the
dicts in epochs the teacher's come first, with loss and accuracy in training.
"""

import importlib.metadata
import itertools
import json
import os
import pathlib
import platform
import signal
import sys

import torch
from absl import app, flags
from torch_networks import NETWORKS
from torch_stages import STAGE_SETTINGS, CannotReachError, Run, differences
from torch_training import package_module, read_images, steps_per_epoch

KEY = ("experiment", "preset", "model", "dataset", "method", "amount", "seed")

FLAGS = flags.FLAGS
flags.DEFINE_string("data", None, "The .npz file with x_train, y_train, x_test and y_test.")
flags.DEFINE_enum("model", "vgg16", list(NETWORKS), "Which network.")
flags.DEFINE_float("width", 1.0, "Multiplies every layer's filters.", lower_bound=0.01)
flags.DEFINE_list("amounts", ["0.5", "0.75"], "Fractions of the MACs to remove.")
flags.DEFINE_list("seeds", ["0"], "Each has a teacher of its own.")
flags.DEFINE_string("experiment", "torch_pruning", "Noted in every line of the output.")
flags.DEFINE_string("preset", "flags", "Noted in every line of the output.")
flags.DEFINE_string("output", "results/torch_pruning.jsonl", "JSON lines; others in it stay.")
flags.DEFINE_integer("max_train_examples", None, "Only the first so many images.", lower_bound=2)
flags.DEFINE_integer("image_size", None, "Side to resize images to, in pixels.", lower_bound=4)
flags.DEFINE_integer("batch_size", 128, "Images a step.", lower_bound=2)
flags.DEFINE_float("weight_decay", 5e-4, "Of kernels; sparse learning has none.", lower_bound=0.0)
flags.DEFINE_integer("teacher_epochs", 30, "Epochs of the teacher.", lower_bound=0)
flags.DEFINE_float("learning_rate", 0.05, "Where the teacher's cosine begins.", lower_bound=1e-9)
flags.DEFINE_integer("sparse_epochs", 15, "Epochs of sparse learning.", lower_bound=0)
flags.DEFINE_integer("fine_tune_epochs", 15, "Epochs after pruning.", lower_bound=0)
flags.DEFINE_float("prune_learning_rate", 0.02, "Where fine-tuning's begins.", lower_bound=1e-9)
flags.DEFINE_float(
    "sparse_learning_rate",
    None,
    "Where sparse learning's begins; none: the same.",
    lower_bound=1e-9,
)
flags.DEFINE_float(
    "regularization", 5e-4, "Coefficient of sparse learning; the authors' 5e-4.", lower_bound=0.0
)
flags.DEFINE_integer(
    "iterative_steps", 400, "Pruning steps in which all channels would go.", lower_bound=1
)
flags.DEFINE_string("device", None, "Of PyTorch; none: the GPU where there is one, else the CPU.")


def main():
    amounts, seeds = _numbers("amounts", float), _numbers("seeds", int)
    images = _images()
    output = pathlib.Path(FLAGS.output)
    folder = output.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    settings, rows = _settings(images), _read_rows(output)
    print(
        f"After the teacher {FLAGS.sparse_epochs} epochs of sparse learning and "
        f"{FLAGS.fine_tune_epochs} of fine-tuning, {settings['epochs']} in all, of "
        f"{len(images.train):,} images each, on {_device_name(images.train.device)}.",
        flush=True,
    )
    wanted, unmet = [], []
    for seed, amount in itertools.product(seeds, amounts):
        cell = _cell(images, amount, seed)
        key, name = tuple(cell.values()), f"{cell['model']} {amount:g} seed {seed}"
        if key in rows:
            _check_settings(output, name, rows[key], settings)
            print(f"{name}: finished already")
        else:
            print(f"{name}:", flush=True)
            try:
                rows[key] = {**cell, **_result(images, amount, seed, settings, folder)}
            except CannotReachError as error:
                unmet.append(f"{name}: {error}")
                continue
            _append(output, rows[key])
        wanted.append(rows[key])
    if wanted:
        print("\n" + _table(wanted))
    if unmet:
        raise ValueError(" ".join(unmet))


# What is asked for


def _numbers(flag, kind):
    """The numbers of a list flag, checked."""
    texts = FLAGS[flag].value
    try:
        numbers = [kind(text) for text in texts]
    except ValueError as error:
        raise ValueError(f"--{flag} must be numbers: {error}.") from error
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"--{flag} must be one or more different numbers: '{','.join(texts)}'.")
    for number in numbers:
        if kind is float and not 0.0 < number < 1.0:
            raise ValueError(f"--{flag} must lie in (0, 1), as fractions of the MACs: {number}.")
        if kind is int and number < 0:
            raise ValueError(f"--{flag} must be at least 0: {number}.")
    return numbers


def _images():
    if FLAGS.data is None:
        raise ValueError("Say --data=FILE.npz; see --help.")
    gpu = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.empty(0, device=FLAGS.device or gpu).device
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"--device={FLAGS.device} cannot be used here: {first}") from error
    torch.backends.cudnn.benchmark = True
    images = read_images(FLAGS.data, device, FLAGS.max_train_examples, FLAGS.image_size)
    if len(images.train) % FLAGS.batch_size == 1:
        raise ValueError(
            f"The last batch of {len(images.train)} images would be one image, which BatchNorm "
            "cannot train on: take another --batch_size or --max_train_examples."
        )
    return images


def _settings(images):
    """All that results depend on but amount and seed."""
    settings = {
        "network": FLAGS.model,
        "dataset": images.name,
        "data_crc32": images.crc32,
        "epochs": FLAGS.sparse_epochs + FLAGS.fine_tune_epochs,
    }
    for name in itertools.chain.from_iterable(STAGE_SETTINGS.values()):
        if name not in settings:
            settings[name] = FLAGS[name].value
    settings["sparse_learning_rate"] = FLAGS.sparse_learning_rate or FLAGS.prune_learning_rate
    return settings


def _cell(images, amount, seed):
    model = FLAGS.model if FLAGS.width == 1 else f"{FLAGS.model}@{FLAGS.width:g}"
    values = (FLAGS.experiment, FLAGS.preset, model, images.name, "torch_pruning", amount, seed)
    return dict(zip(KEY, values, strict=True))


# Results


def _result(images, amount, seed, settings, folder):
    run = Run(images, seed, settings, folder, say=lambda line: print(line, flush=True))
    return {
        **run.result(amount),
        "steps": settings["epochs"] * steps_per_epoch(images, FLAGS.batch_size),
        "settings": settings,
        "versions": _versions(),
        "device": _device_name(images.train.device),
    }


def _device_name(device):
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU {platform.processor() or platform.machine()}"


def _versions():
    packages = ("torch", "torch-pruning", "numpy")
    return {
        "keras_cascade": package_module("version.py").__version__,
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
        "cuda": torch.version.cuda,
        "platform": platform.platform(),
    }


def _read_rows(path):
    """The finished lines by key; says which are damaged, and skips them."""
    rows = {}
    lines = path.read_bytes().decode(errors="replace").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            rows[tuple(row[name] for name in KEY)] = row
        except (ValueError, KeyError, TypeError):
            print(f"{path}, line {number} is damaged and is skipped.", file=sys.stderr)
    return rows


def _check_settings(path, name, row, settings):
    different = differences(row["settings"], settings)
    if different:
        raise ValueError(
            f"'{path}' holds {name} with other settings ({different}): choose another --output or "
            "--preset, or the same settings."
        )


def _append(path, row):
    """Adds a line in one write; what a killed run left torn stays a line of its own."""
    before = path.read_bytes() if path.exists() else b""
    torn = bool(before) and not before.endswith(b"\n")
    content = b"\n" * torn + json.dumps(row).encode() + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _table(rows):
    header = ["model", "amount", "seed", "teacher %", "sparse %", "pruned %", "result %", "params"]
    header += ["MACs", "MACs removed %", "by tp %", "steps", "seconds"]
    cells = [
        [
            row["model"],
            f"{row['amount']:g}",
            row["seed"],
            f"{100 * row['teacher_accuracy']:.2f}",
            f"{100 * row['sparse_accuracy']:.2f}",
            f"{100 * row['accuracy_before_fine_tuning']:.2f}",
            f"{100 * row['accuracy']:.2f}",
            f"{row['params']:,}",
            f"{row['macs']:,}",
            f"{100 * (1 - row['macs'] / row['teacher_macs']):.2f}",
            f"{100 * (1 - row['tp_macs'] / row['teacher_tp_macs']):.2f}",
            row["steps"],
            f"{row['seconds']:.0f}",
        ]
        for row in rows
    ]
    return package_module("table.py").text_table(header, cells)


# The command line, as keras_cascade.cli.user_errors has it


def _guarded(argv):
    signal.signal(signal.SIGTERM, _terminate)
    try:
        if argv[1:]:
            raise ValueError(f"Unexpected argument '{argv[1]}'. Options begin with --; see --help.")
        main()
    except KeyboardInterrupt as stopped:
        print("\nInterrupted; the same command goes on.", file=sys.stderr)
        sys.exit(128 + (stopped.args[0] if stopped.args else signal.SIGINT))
    except (ValueError, OSError) as error:
        _exit(error)


def _terminate(number, frame):
    raise KeyboardInterrupt(number)


def _parsed(argv):
    try:
        return FLAGS(argv)
    except flags.Error as error:
        return _exit(f"{error} See --help.")


def _exit(error):
    print(f"torch_pruning: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    app.run(_guarded, flags_parser=_parsed)
