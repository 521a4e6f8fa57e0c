"""The backups of a script that trains in several stages, and the flags it must be given again."""

from keras_cascade.recipe import StageBackups
from keras_cascade.report.summary import WITHOUT_EFFECT


def backups_of_run(folder, configuration, every, resume):
    """The `StageBackups` of a run that can be gone on with by the same command.

    Args:
        folder: where they are kept.
        configuration: dict from flag to value; a run can only be gone on with under the same.
        every: steps between backups.
        resume: whether to go on with what is there; else it is deleted.

    Raises:
        ValueError: the folder holds a run of another configuration.
    """
    fixed = {name: value for name, value in configuration.items() if name not in WITHOUT_EFFECT}
    backups = StageBackups(folder, fixed, every)
    if not (resume and backups.resumed):
        backups.begin()
        return backups
    changed = [
        f"--{name}={here} (was {there})" for name, (here, there) in backups.changed().items()
    ]
    if changed:
        raise ValueError(
            f"'{backups.folder.parent}' holds an unfinished run with other flags: "
            f"{', '.join(changed)}. Give the same flags, another --output_dir, or --noresume."
        )
    print(f"Going on with the run in {backups.folder.parent} (--noresume begins anew).")
    return backups
