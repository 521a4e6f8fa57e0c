"""StageBackups: the backups of a training in several stages, one folder a stage."""

import json
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

from keras_cascade.cascade import TrainingBackup
from keras_cascade.report import write_json
from keras_cascade.typing import Path


class StageBackups:
    """Backups of a training that can be gone on with under the same configuration.

    Args:
        folder: where they are kept, of this training alone; nothing is written before `begin`.
        configuration: dict of JSON values, what the training's result depends on.
        every: steps between backups, besides those at the end of every epoch.

    Attributes:
        folder: as given.
        resumed: whether there is a training to go on with.

    Example:

    ```python
    backups = kc.recipe.StageBackups("runs/backup", {"epochs": 30}, every=1000)
    if not backups.resumed or backups.changed():
        backups.begin()
    kc.recipe.train_teacher(model, images, settings, backup=backups.of("teacher"))
    backups.delete()
    ```
    """

    def __init__(self, folder: Path, configuration: Mapping[str, Any], every: int) -> None:
        self.folder, self._every = pathlib.Path(folder), every
        self._configuration = json.loads(json.dumps(dict(configuration)))
        self.resumed = any(self.folder.glob("*/epoch_*"))

    def changed(self) -> dict[str, tuple[Any, Any]]:
        """What of the configuration is another than that of the training there.

        Returns:
            Dict from name to its value here and there.
        """
        if not self.resumed:
            return {}
        here, there = self._configuration, json.loads(self._path.read_text())
        return {
            name: (here.get(name), there.get(name))
            for name in sorted(here | there)
            if here.get(name) != there.get(name)
        }

    def begin(self) -> None:
        """Deletes what is there and writes the configuration."""
        self.delete()
        self.resumed = False
        self.folder.mkdir(parents=True)
        write_json(self._path, self._configuration)

    def of(self, stage: str) -> TrainingBackup:
        """The `TrainingBackup` of a stage."""
        return TrainingBackup(self.folder / stage.replace(" ", "_"), every=self._every)

    def delete(self) -> None:
        """Deletes all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _path(self):
        return self.folder / "configuration.json"
