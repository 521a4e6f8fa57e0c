"""Compares weight pruning, channel pruning, distillation and the cascade on a grid.

For every network, data set and seed one teacher is trained; every method starts from it (or learns
from it) and takes as many steps as the others. Each finished cell is written to results.jsonl at
once; the same command run again continues where it stopped. With --strategy all methods but weight
pruning train on several replicas; what TF-MOT trains takes one. With --backup_every a training that
is broken off goes on in its middle; its images then come in another order than without.

keras-cascade compare --models=resnet20@0.5 --amounts=0.5,0.75 --seeds=0,1 --output_dir=runs/compare
"""

import dataclasses
import shlex

from absl import flags

from keras_cascade import recipe, report, study
from keras_cascade.cli import extras, strategy_flags, study_flags
from keras_cascade_command import quiet_stderr

_DEFAULT = study.Protocol()
_RECIPE = _DEFAULT.settings

flags.DEFINE_list(
    "models",
    ["resnet20@0.5"],
    "Networks, each with @width behind it where the width is not 1: resnet20@0.5,vgg16@0.25. "
    "keras-cascade train --help says which there are.",
)
flags.DEFINE_list("datasets", ["digits"], "digits (embedded), cifar10, cifar100, ... of TFDS.")
flags.DEFINE_list("methods", list(study.METHODS), "What to compare.")
flags.DEFINE_list("amounts", ["0.5", "0.75"], "Fractions of the params to remove or set to zero.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Of weights, data order and augmentation.")
flags.DEFINE_string("data_dir", None, "Where TFDS keeps its data sets; default: its own folder.")
flags.DEFINE_integer("max_train_examples", None, "Use only so many training images.")
flags.DEFINE_integer("image_size", None, "Resize images to this height and width, in pixels.")
flags.DEFINE_integer("batch_size", _DEFAULT.batch_size, "Images a step.")
flags.DEFINE_integer("teacher_epochs", _RECIPE.teacher_epochs, "Epochs of each teacher.")
flags.DEFINE_integer("epochs", _DEFAULT.epochs, "Epochs of every method, after the teacher.")
flags.DEFINE_integer(
    "recover_epochs",
    _RECIPE.recover_epochs,
    "Of those, epochs in which a cascade's extracted student trains alone under the teacher.",
)
flags.DEFINE_float("temperature", _RECIPE.temperature, "Of the softened outputs.")
flags.DEFINE_float("alpha", _RECIPE.alpha, "Weight of the guidance against the labels, in [0, 1).")
flags.DEFINE_bool(
    "anneal_teacher",
    _RECIPE.anneal_teacher,
    "Where a student is trained alone, its teacher's weight falls to 0 until the end.",
)
flags.DEFINE_enum(
    "criterion",
    _DEFAULT.criterion,
    ["l1", "l2", "bn_scale", "fpgm", "random"],
    "What makes a channel salient in one-shot pruning.",
)
flags.DEFINE_enum(
    "scope",
    _DEFAULT.scope,
    ["global", "layer"],
    "One-shot pruning: over the whole network, or the same fraction of every layer.",
)
flags.DEFINE_enum(
    "cascade_scope", _RECIPE.scope, ["global", "layer"], "The same, for the cascades."
)
flags.DEFINE_enum(
    "guidance", _RECIPE.guidance, ["cascade", "dense", "teacher"], "Who guides a cascade's level."
)
flags.DEFINE_bool(
    "freeze_teacher",
    _RECIPE.freeze_teacher,
    "Level 0 of the cascades is a frozen copy of the teacher; else it is trained on as the others.",
)
flags.DEFINE_bool(
    "hard_masks",
    _RECIPE.hard_masks,
    "Channels that are lost stay lost; else they come back where their saliency ranks them.",
)
flags.DEFINE_enum(
    "level_losses",
    _RECIPE.level_losses,
    list(recipe.LEVEL_LOSSES),
    "What a cascade minimises of its levels' losses; a sum takes longer steps with more levels.",
)
flags.DEFINE_float("momentum", _RECIPE.momentum, "Of the moving average of saliency.")
flags.DEFINE_float(
    "end", _RECIPE.end, "Masks are fixed after this fraction of the epochs without recovery."
)
flags.DEFINE_integer("min_channels", _RECIPE.min_channels, "Channels that stay in every layer.")
flags.DEFINE_integer("round_to", _RECIPE.round_to, "Kept channels are a multiple of this.")
flags.DEFINE_string("optimizer", _RECIPE.optimizer, "sgd (Nesterov momentum), adam, adamw, ...")
flags.DEFINE_float(
    "learning_rate", _RECIPE.learning_rate, "Where the cosine begins for untrained networks."
)
flags.DEFINE_float(
    "prune_learning_rate",
    _RECIPE.prune_learning_rate,
    "Where the cosine begins for trained networks.",
)
flags.DEFINE_float("weight_decay", _DEFAULT.weight_decay, "L2 on the kernels.")
flags.DEFINE_string("output_dir", "runs/compare", "Where results and the report are written.")

flags.DEFINE_string(
    "insert_into", None, "A Markdown file whose section 'study' is to show findings and table."
)
flags.adopt_module_key_flags(strategy_flags)
flags.adopt_module_key_flags(study_flags)

FLAGS = flags.FLAGS
ARGUMENTS = []
ON_INTERRUPT = "Interrupted. What is finished is kept: run the same command again to continue."


def main():
    """Runs what of the grid is not finished, and writes the report."""
    extras.require("ai_edge_litert", "matplotlib")
    grid = study.Grid(
        models=tuple(FLAGS.models),
        datasets=tuple(FLAGS.datasets),
        methods=tuple(FLAGS.methods),
        amounts=_numbers("amounts", float),
        seeds=_numbers("seeds", int),
    )
    make_scope, replicas = recipe.distribution_scopes(FLAGS.strategy)
    protocol = _protocol(replicas)
    folder = report.writable_folder(FLAGS.output_dir)
    runner = study.StudyRunner(
        grid,
        protocol,
        folder,
        FLAGS.data_dir,
        _say,
        quiet_stderr,
        make_scope,
        backup_every=FLAGS.backup_every,
    )
    runner.check()
    texts = {"title": _title(grid), "command": _command()}
    report.write_json(folder / report.STUDY, texts)
    rows = runner.run()
    paths = report.write_study_report(rows, folder, **texts)
    print(f"\n{paths['table.md'].read_text()}")
    if FLAGS.insert_into:
        parts = (paths[name].read_text().strip() for name in ("findings.md", "table.md"))
        report.replace_section(FLAGS.insert_into, "study", "\n\n".join(parts))
    failed = len(runner.failed())
    if failed:
        print(f"{failed} cells failed; the report names them. Run again to try them once more.")
    print(f"The report: {paths['report.html']}")


def _protocol(replicas):
    """The study's protocol, from the flags of the same names."""
    if not 0 <= FLAGS.recover_epochs < FLAGS.epochs:
        raise ValueError(
            f"--recover_epochs={FLAGS.recover_epochs} must leave at least one of --epochs="
            f"{FLAGS.epochs} for pruning."
        )
    settings = recipe.Settings(
        **{
            **{
                field.name: FLAGS[field.name].value
                for field in dataclasses.fields(recipe.Settings)
                if field.name in FLAGS
            },
            "epochs": FLAGS.epochs - FLAGS.recover_epochs,
            "scope": FLAGS.cascade_scope,
            "budget": "params",
        }
    )
    return study.Protocol(
        settings,
        replicas=replicas,
        synchronized=FLAGS.synchronized_batch_norm,
        **{
            field.name: FLAGS[field.name].value
            for field in dataclasses.fields(study.Protocol)
            if field.name in FLAGS
        },
    )


def _numbers(flag, kind):
    try:
        return tuple(kind(value) for value in FLAGS[flag].value)
    except ValueError:
        example = "0.5,0.75" if kind is float else "0,1,2"
        raise ValueError(
            f"--{flag} must be numbers such as {example}, got {','.join(FLAGS[flag].value)}."
        ) from None


def _title(grid):
    return f"Pruning compared: {', '.join(grid.models)} on {', '.join(grid.datasets)}"


def _command():
    """The command that was run; without what says where data and documents are."""
    given = [
        flag.serialize()
        for flag in FLAGS.get_key_flags_for_module(__name__)
        if flag.present and flag.name not in ("data_dir", "insert_into")
    ]
    return shlex.join(["keras-cascade", "compare", *given])


def _say(line):
    print(line, flush=True)
