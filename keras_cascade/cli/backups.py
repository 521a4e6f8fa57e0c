"""The backups of a script that trains in several stages: one folder a stage."""

import json
import pathlib
import shutil

import keras_cascade as kc
from keras_cascade import report

# What may differ between a run and the one that goes on with it.
_FREE = {
    "output_dir", "data_dir", "log_dir", "resume", "backup_every", "verbosity", "allow_unsafe",
}  # fmt: skip


class Backups:
    """Backups of a run that can be gone on with by the same command.

    Args:
        folder: where they are kept.
        configuration: dict from flag to value; a run can only be gone on with under the same.
        every: steps between backups.
        resume: whether to go on with what is there; else it is deleted.

    Attributes:
        resumed: whether there was a run to go on with.

    Raises:
        ValueError: the folder holds a run of another configuration.
    """

    def __init__(self, folder, configuration, every, resume):
        self._folder, self._every = pathlib.Path(folder), every
        if not resume:
            self.delete()
        wanted = json.loads(json.dumps({k: v for k, v in configuration.items() if k not in _FREE}))
        path = self._folder / "configuration.json"
        self.resumed = any(self._folder.glob("*/epoch_*"))
        if self.resumed:
            self._check(json.loads(path.read_text()), wanted)
            print(f"Going on with the run in {self._folder.parent} (--noresume begins anew).")
        else:
            self._folder.mkdir(parents=True, exist_ok=True)
            report.write_json(path, wanted)

    def of(self, stage):
        """The `TrainingBackup` of a stage."""
        return kc.TrainingBackup(self._folder / stage, every=self._every)

    def delete(self):
        """Deletes all of them."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _check(self, found, wanted):
        changed = [
            f"--{name}={wanted.get(name)} (was {found.get(name)})"
            for name in sorted(wanted | found)
            if wanted.get(name) != found.get(name)
        ]
        if changed:
            raise ValueError(
                f"'{self._folder.parent}' holds an unfinished run with other flags: "
                f"{', '.join(changed)}. Give the same flags, another --output_dir, or --noresume."
            )
