"""Runs experiments: the papers' claims, and what else prunes, on real data.

Each experiment is a small file beside this script; what they share is in common.toml. A preset says
how large: smoke (a minute), cpu (hours on two cores, a stated subset), full (a GPU), and of some
experiments all_images (as cpu, on the whole data set) or early (as cpu, with teachers that are far
from their end). Each finished training is one line in OUTPUT_DIR/EXPERIMENT_PRESET.jsonl, written
at once; the same command run again goes on from there. Teachers are kept in OUTPUT_DIR/teachers and
shared by experiments.

    python experiments/run.py --experiments=vgg16_cifar10 --preset=smoke
    KERAS_BACKEND=jax python experiments/run.py --preset=full --data_dir=DATA --output_dir=results

With --backup_every a training that is broken off goes on in its middle, where a machine is lent for
less time than it takes; its images then come in another order than without.

With --decoded=FOLDER decode.py's files take the place of TFDS, as they must where TensorFlow is not
installed. An experiment whose data is not there is left out, unless --experiments names it.
"""

import dataclasses
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples"))
import quiet_start  # isort: skip  # noqa: E402, F401

import experiment_names  # noqa: E402
from absl import flags  # noqa: E402

from keras_cascade import data, recipe, report, study  # noqa: E402
from keras_cascade.cli import study_flags, user_errors  # noqa: E402
from keras_cascade_command import quiet_stderr  # noqa: E402

flags.DEFINE_list(
    "experiments", None, "Which: names of the files beside this script; default: all of the preset."
)
flags.DEFINE_string("preset", "smoke", "How large: smoke, cpu, all_images, early or full.")
flags.DEFINE_list("seeds", None, "Only these of the preset's seeds; default: all.")
flags.DEFINE_list("methods", None, "Only these of the experiment's methods; default: all.")
flags.DEFINE_list("amounts", None, "Only these of the preset's amounts; default: all.")
flags.DEFINE_string("data_dir", None, "Where TFDS keeps its data sets; default: its own folder.")
flags.DEFINE_string(
    "decoded", None, "Folder of decode.py's files, to read in the place of TFDS' data sets."
)
flags.DEFINE_string("output_dir", "results", "Where results and teachers are written.")
flags.DEFINE_string("strategy", "none", "mirrored, or mirrored:N for N replicas (TensorFlow).")
flags.adopt_module_key_flags(study_flags)

FLAGS = flags.FLAGS
ON_INTERRUPT = "Interrupted. What is finished is kept: run the same command again to continue."


def main():
    names = experiment_names.names()
    of_preset = [name for name in names if FLAGS.preset in _presets(name)]
    # Of an unknown preset there are none: any of the names then says which presets there are.
    experiments = [_experiment(name) for name in FLAGS.experiments or of_preset or names]
    folder = report.writable_folder(FLAGS.output_dir)
    make_scope, replicas = recipe.distribution_scopes(FLAGS.strategy)
    # A training that two experiments want is run once; but for those in the shape of another's
    # student, which is known by its name alone.
    all_results = [_experiment(name).results for name in of_preset]
    studies = []
    for experiment in experiments:
        protocol = experiment.protocol.changed({"replicas": replicas})
        runner = study.StudyRunner(
            _chosen(experiment.grid),
            protocol,
            folder,
            FLAGS.data_dir,
            lambda line: print(line, flush=True),
            quiet_stderr,
            make_scope,
            results=experiment.results,
            teachers=folder / "teachers" / experiment.teachers,
            decoded=FLAGS.decoded,
            others=[other for other in all_results if other != experiment.results],
            backup_every=FLAGS.backup_every,
        )
        try:
            runner.check()
        except (FileNotFoundError, data.UnknownDatasetError) as error:
            if FLAGS.experiments:
                raise
            print(f"{experiment.title}: left out, its data is not there. {error}")
        else:
            studies.append((experiment, runner))
    if not studies:
        raise FileNotFoundError(f"There is no data for any experiment of preset {FLAGS.preset}.")
    cells = sum(len(runner.grid.cells()) for _, runner in studies)
    print(f"Preset {FLAGS.preset}: {cells} trainings in {len(studies)} experiments.")
    failed = 0
    for experiment, runner in studies:
        print(f"{experiment.title}, preset {experiment.preset}")
        rows = runner.run()
        labelled = [{**row, "method": experiment.label(row["method"])} for row in rows]
        print(f"\n{report.cells_table(report.summarise_cells(labelled))}\n")
        failed += len(runner.failed())
    if failed:
        sys.exit(f"{failed} trainings failed; run again to try them once more.")


def _presets(name):
    return study.Experiment.presets(experiment_names.path_of(name))


def _experiment(name):
    names = experiment_names.names()
    if name not in names:
        raise ValueError(f"Unknown experiment '{name}'. There are {', '.join(names)}.")
    return study.Experiment.read(experiment_names.path_of(name), FLAGS.preset)


def _chosen(grid):
    """The grid, narrowed by flags."""
    chosen = {}
    for axis in ("methods", "amounts", "seeds"):
        if FLAGS[axis].value is not None:
            known = {str(value): value for value in getattr(grid, axis)}
            unknown = [text for text in FLAGS[axis].value if text not in known]
            if unknown:
                raise ValueError(f"--{axis}={','.join(unknown)}: the preset has {','.join(known)}.")
            chosen[axis] = tuple(known[text] for text in FLAGS[axis].value)
    return dataclasses.replace(grid, **chosen)


def run():
    """Runs the script with absl's flags."""
    user_errors.run(main, ON_INTERRUPT)


if __name__ == "__main__":
    run()
