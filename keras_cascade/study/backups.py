"""The backups of one training of a study, and the records of its epochs beside them."""

import json

from keras_cascade.recipe import StageBackups

_EPOCHS = "epochs.json"


def backups_of(folder, configuration, every):
    """The `StageBackups` of a training, begun anew unless one of the same configuration is there.

    Args:
        folder: of this training alone.
        configuration: dict, what its result depends on.
        every: steps between states; None: no backups.

    Returns:
        `StageBackups` or None.
    """
    if every is None:
        return None
    backups = StageBackups(folder, configuration, every)
    if not backups.resumed or backups.changed():
        backups.begin()
    return backups


def epochs_path(backups):
    """Where `EpochRecords` keeps its list; None without backups."""
    return backups.folder / _EPOCHS if backups else None


def read_epochs(backups):
    """The records of the epochs before a training was broken off: a list, without backups empty."""
    path = epochs_path(backups)
    return json.loads(path.read_text()) if path and path.exists() else []


def seconds_of(before, records):
    """How long those of `before` took that a training which was gone on with did not take again."""
    return sum(record["seconds"] for record in before if record in records)
