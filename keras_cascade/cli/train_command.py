"""Trains a teacher-assistants-student cascade and writes the small model it yields.

The teacher is trained first, or it is the model that is given. Then the cascade prunes while it
trains, and the extracted student recovers alone, distilled from a frozen larger level. As a
yardstick the same teacher is pruned in one shot by L1 to the same budget and fine-tuned with
distillation on as many images.

keras-cascade train --dataset=digits --model=resnet20 --width=0.5 --output_dir=runs/digits
keras-cascade train model.keras --dataset=./images --output_dir=runs/images
"""

import dataclasses
import time

import keras
from absl import flags

from keras_cascade import data, models, recipe, report
from keras_cascade.cascade import level_records, returns_probabilities
from keras_cascade.cli import commands, extras, files, strategy_flags
from keras_cascade.cli.backups import backups_of_run
from keras_cascade.deploy import export, write_keras
from keras_cascade.surgery import copy_model
from keras_cascade.table import text_table
from keras_cascade_command import quiet_stderr

_DEFAULT = recipe.Settings()

flags.DEFINE_string(
    "model",
    "resnet20",
    "Where no MODEL.keras is given: our vgg16, resnet20, resnet32, resnet56, resnet50, densenet40, "
    "mobilenet_v2 or efficientnet_b0, or a name in keras.applications (MobileNetV2, say: made for "
    "large images).",
)
flags.DEFINE_float("width", 1.0, "Multiplies every layer's filters.")
flags.DEFINE_string(
    "dataset",
    "digits",
    "digits (embedded), cifar10, cifar100, imagenet2012, another TFDS name, a file images.npz "
    "(x_train, y_train, x_test, y_test), or a folder ./images (train/CLASS/, test/CLASS/).",
)
flags.DEFINE_string("data_dir", None, "Where TFDS keeps its data sets; default: its own folder.")
flags.DEFINE_integer("max_train_examples", None, "Use only so many training images.")
flags.DEFINE_integer("image_size", None, "Resize images to this height and width, in pixels.")
flags.DEFINE_integer("batch_size", 128, "Images a step.")
flags.DEFINE_integer("teacher_epochs", _DEFAULT.teacher_epochs, "Epochs of the teacher alone.")
flags.DEFINE_integer("epochs", _DEFAULT.epochs, "Epochs of the cascade.")
flags.DEFINE_integer(
    "recover_epochs",
    _DEFAULT.recover_epochs,
    "Epochs of the extracted student alone, distilled from a frozen larger level.",
)
flags.DEFINE_enum(
    "recover_from",
    _DEFAULT.recover_from,
    recipe.RECOVERY_GUIDES,
    "Which frozen model the student recovers from: the teacher as it was before the "
    "cascade, level 0 after it, or the last assistant.",
)
flags.DEFINE_float(
    "recover_alpha",
    _DEFAULT.recover_alpha,
    "In recovery, weight of the guide against the labels, in [0, 1); default: --alpha's.",
)
flags.DEFINE_bool(
    "anneal_teacher",
    _DEFAULT.anneal_teacher,
    "In recovery and in the yardstick's distillation, the teacher's weight against the labels "
    "falls to 0 until the end.",
)
flags.DEFINE_list(
    "levels",
    [str(level) for level in _DEFAULT.levels],
    "Fractions of the budget to remove, increasing; the last is the student's.",
)
flags.DEFINE_enum(
    "budget",
    _DEFAULT.budget,
    ["macs", "params", "channels", "latency"],
    "What the levels are fractions of; latency is measured on LiteRT, one thread, float32.",
)
flags.DEFINE_enum(
    "guidance",
    _DEFAULT.guidance,
    ["cascade", "dense", "teacher"],
    "Who guides a level: the next larger one, all larger ones, or the teacher.",
)
flags.DEFINE_bool(
    "freeze_teacher",
    _DEFAULT.freeze_teacher,
    "Level 0 of the cascade is a frozen copy of the teacher; else it is trained on as the others.",
)
flags.DEFINE_bool(
    "hard_masks",
    _DEFAULT.hard_masks,
    "Channels that are lost stay lost; else they come back where their saliency ranks them.",
)
flags.DEFINE_enum(
    "level_losses",
    _DEFAULT.level_losses,
    list(recipe.LEVEL_LOSSES),
    "What the cascade minimises of its levels' losses; a sum takes longer steps with more levels.",
)
flags.DEFINE_enum(
    "scope",
    _DEFAULT.scope,
    ["global", "layer"],
    "Rank channels over the whole network, or take the same fraction of every layer.",
)
flags.DEFINE_float("temperature", _DEFAULT.temperature, "Of the softened outputs.")
flags.DEFINE_float("alpha", _DEFAULT.alpha, "Weight of the guidance against the labels, in [0, 1).")
flags.DEFINE_integer("round_to", _DEFAULT.round_to, "Kept channels are a multiple of this.")
flags.DEFINE_integer("min_channels", _DEFAULT.min_channels, "Channels that stay in every layer.")
flags.DEFINE_string("optimizer", _DEFAULT.optimizer, "sgd (Nesterov momentum), adam, adamw, ...")
flags.DEFINE_float("learning_rate", _DEFAULT.learning_rate, "Where the teacher's cosine begins.")
flags.DEFINE_float(
    "prune_learning_rate",
    _DEFAULT.prune_learning_rate,
    "Where the cosines of cascade, recovery and yardstick begin.",
)
flags.DEFINE_float("weight_decay", 5e-4, "L2 on the kernels.")
flags.DEFINE_integer("seed", 0, "Of weights, data order, augmentation and dropout.")
flags.DEFINE_string("output_dir", "runs/cascade", "Where results and models are written.")
flags.DEFINE_string(
    "log_dir",
    None,
    "Where TensorBoard's files of the cascade are written; none without it.",
    allow_override=True,  # absl has one for log files, which nothing here writes
)
flags.DEFINE_bool(
    "resume",
    True,
    "Go on with the run that output_dir holds, if one was broken off there; --noresume begins "
    "anew.",
)
flags.DEFINE_integer("backup_every", 1000, "Steps between backups, besides those of every epoch.")
flags.adopt_module_key_flags(strategy_flags)
flags.adopt_module_key_flags(files)

FLAGS = flags.FLAGS
ARGUMENTS = ["[MODEL.keras]"]


def main(teacher=None):
    """Trains, evaluates, and writes results, student and exports."""
    exports = keras.backend.backend() != "torch"  # Keras exports nothing there
    extras.require(*(["ai_edge_litert"] if exports else []), "matplotlib")
    settings = _settings()
    scope, replicas = recipe.distribution_scope(FLAGS.strategy)
    output_dir = report.writable_folder(FLAGS.output_dir)
    if FLAGS.log_dir:
        report.writable_folder(FLAGS.log_dir)
    configuration = _configuration(teacher)
    backups = backups_of_run(output_dir / "backup", configuration, FLAGS.backup_every, FLAGS.resume)
    started = time.monotonic()
    keras.utils.set_random_seed(FLAGS.seed)
    images = data.load(
        FLAGS.dataset,
        batch_size=FLAGS.batch_size,
        data_dir=FLAGS.data_dir,
        max_train_examples=FLAGS.max_train_examples,
        image_size=FLAGS.image_size,
        seed=FLAGS.seed,
        replicas=replicas,
    )
    with scope:
        student, pruning, rows, found = _trained(teacher, images, settings, output_dir, backups)
    # Variables made under a strategy cannot be exported.
    student = copy_model(student)
    run = {
        **found,
        "command": commands.command_line(),
        "seconds": round(time.monotonic() - started, 1),  # of this process
        "resumed": backups.resumed,
        "configuration": configuration,
        "versions": report.versions(),
    }
    _write(output_dir, rows, student, pruning, images, run)
    backups.delete()


def _trained(teacher, images, settings, output_dir, backups):
    """Trains and evaluates; returns student, pruning record, rows, and dict of what to record."""
    original = _untrained(images) if teacher is None else _loaded(teacher, images)
    _check_levels(original, settings)
    if teacher is None:
        progress = [_progress("teacher")]
        recipe.train_teacher(original, images, settings, progress, backups.of("teacher"))
        write_keras(original, output_dir / "teacher.keras")
    cascade, history, models_of_rows = _train_all(original, images, settings, backups)
    print(f"\n{cascade.levels_summary()}\n")
    rows = [
        recipe.evaluate(name, model, images, FLAGS.seed) for name, model in models_of_rows.items()
    ]
    print(_table(rows))
    found = {"history": history, "cascade": level_records(cascade)}
    return models_of_rows["student"], cascade.pruning_record(), rows, found


def _configuration(teacher):
    """What was asked for: dict from the name of a flag, or "teacher", to its value."""
    key_flags = {flag.name: flag.value for flag in FLAGS.get_key_flags_for_module(__name__)}
    return {"teacher": teacher, **key_flags}


def _settings():
    """The recipe's settings, from the flags of the same names."""
    named = {
        field.name: FLAGS[field.name].value
        for field in dataclasses.fields(recipe.Settings)
        if field.name in FLAGS
    }
    try:
        named["levels"] = tuple(float(level) for level in FLAGS.levels)
    except ValueError:
        raise ValueError(
            f"--levels must be numbers such as 0.25,0.5,0.75, got {FLAGS.levels}."
        ) from None
    return recipe.Settings(**named)


def _loaded(path, images):
    teacher = files.load_model(path)
    _check_teacher(path, teacher, images)
    return models.synchronize_batch_norm(teacher) if FLAGS.synchronized_batch_norm else teacher


def _untrained(images):
    return models.build_model(
        FLAGS.model,
        images.input_shape,
        images.classes,
        width=FLAGS.width,
        weight_decay=FLAGS.weight_decay,
        seed=FLAGS.seed,
        synchronized=FLAGS.synchronized_batch_norm,
    )


def _check_teacher(path, teacher, images):
    shapes = [[tensor.shape[1:] for tensor in side] for side in (teacher.inputs, teacher.outputs)]
    if shapes != [[images.input_shape], [(images.classes,)]]:
        takes, gives = (", ".join(map(str, each)) for each in shapes)
        raise ValueError(
            f"'{path}' maps {takes} to {gives}; {FLAGS.dataset} has images {images.input_shape} "
            f"and {images.classes} classes."
        )

    if returns_probabilities(teacher):
        raise ValueError(
            f"'{path}' ends in probabilities; training is on logits. "
            "Rebuild its last layer with activation=None."
        )


def _check_levels(model, settings):
    """Finds levels that cannot be reached, and all else the cascade refuses, before training."""
    recipe.make_cascade(copy_model(model), settings)


def _train_all(original, images, settings, backups):
    """Cascade, recovery and yardstick; returns the cascade, its logs and the rows' models."""
    level_zero = copy_model(original)
    cascade, history = recipe.train_cascade(
        level_zero,
        images,
        settings,
        [_progress("cascade", "student_macs")],
        backups.of("cascade"),
        FLAGS.log_dir,
    )
    trained = {name: cascade.extract(name) for name in cascade.level_names}
    student = trained["student"]
    if settings.recover_epochs:
        recipe.recover(
            student,
            recipe.recovery_guide(original, trained, settings),
            images,
            settings,
            settings.recover_epochs,
            [_progress("recovery")],
            backups.of("recovery"),
        )
    yardstick = recipe.one_shot_l1(
        original, images, settings, [_progress("one-shot L1")], backups.of("one_shot_l1")
    )
    rows = {"original": original, **trained, "l1_finetuned": yardstick}
    return cascade, history, rows


def _progress(title, *more):
    return report.EpochProgress(
        title, ["loss", "accuracy", "teacher_accuracy", *more, "val_accuracy"]
    )


def _table(rows):
    return text_table(
        ["model", "accuracy", "params", "MACs", "bytes"],
        [
            [
                row["name"],
                f"{row['accuracy']:.2%}",
                f"{row['params']:,}",
                f"{row['macs']:,}",
                f"{row['bytes']:,}",
            ]
            for row in rows
        ],
    )


def _write(output_dir, rows, student, pruning, images, run):
    """Results, files and report; what comes out of hours is written before what may yet fail."""
    write_keras(student, output_dir / "student.keras")
    results = {"rows": rows, "differences": {}, **run}
    report.write_json(output_dir / report.RESULTS, results)
    print(f"\nWrote {report.RESULTS} and student.keras to {output_dir}.")
    if keras.backend.backend() != "torch":  # Keras exports nothing there
        differences = _export(output_dir / "student", student, pruning, images)
        report.write_json(output_dir / report.RESULTS, {**results, "differences": differences})
    model = run["configuration"]["teacher"] or FLAGS.model
    title = f"{model} on {FLAGS.dataset}, seed {FLAGS.seed}"
    report.plot_accuracy_against_macs(rows, output_dir / "accuracy_macs.png", title)
    print(f"The report: {report.write_run_report(output_dir)}")


def _export(folder, student, pruning, images):
    """Exports the student; returns the largest difference of each format's outputs."""
    with quiet_stderr():
        manifest = export(
            student,
            folder,
            ["saved_model", "litert"],
            representative_data=images.test,
            pruning=pruning,
        )
    differences = {name: found["max_difference"] for name, found in manifest["parity"].items()}
    print(f"Exported to {folder}. On their own runtimes, largest difference of any")
    print("output to the student:")
    for name, difference in differences.items():
        print(f"  {name}: {difference:.2e}")
    return differences
