"""Teachers: each trained once, kept as files, and always read from there.

That every method starts from the same teacher holds because all of them read one file; that a study
can be killed at any time, because the figures beside it are written last.
"""

import dataclasses
import json
import pathlib
import time

import keras

from keras_cascade import data, models, recipe
from keras_cascade.deploy import write_keras, write_litert
from keras_cascade.profile import gzipped_bytes, profile
from keras_cascade.report import write_json
from keras_cascade.study.backups import backups_of, epochs_path, read_epochs, seconds_of
from keras_cascade.study.epoch_records import EpochRecords
from keras_cascade.study.grid import name_and_width
from keras_cascade.surgery import copy_model


class TeacherChangedError(OSError):
    """A teacher's file is not the one that finished cells started from, or not of this recipe."""


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A trained teacher.

    Attributes:
        model: the dense `keras.Model`.
        litert: path of the same as a LiteRT file, where the protocol asks for one.
        figures: dict with accuracy, params, macs, gzipped_bytes (None without a LiteRT file),
            seconds of training, epochs (records of each) and recipe.
    """

    model: keras.Model
    litert: pathlib.Path
    figures: dict


class Teachers:
    """The teachers of one study.

    Args:
        folder: where their files are kept.
        protocol: `Protocol`.
        data_dir: of TFDS; None is its own.
        decoded: folder of decoded data sets, see `data.load`.
        say: function that shows a line of progress.
        make_scope: function that makes the context in which they are trained.
        backup_every: see `StudyRunner`.
    """

    def __init__(self, folder, protocol, data_dir, decoded, say, make_scope, backup_every=None):
        self.folder, self._protocol = pathlib.Path(folder), protocol
        self._data_dir, self._decoded = data_dir, decoded
        self._say, self._make_scope, self._backup_every = say, make_scope, backup_every

    def of(self, cell):
        """The `Teacher` of a cell; it is trained now if it is not there.

        Raises:
            TeacherChangedError: the one that is there was trained in another way.
        """
        path = self.folder / f"{'_'.join(map(str, cell.teacher)).replace('/', '-')}.keras"
        litert, figures = path.with_suffix(".tflite"), path.with_suffix(".json")
        if not figures.exists():
            self._say("    training the teacher ...")
            self._train(cell, path, litert, figures)
        known = json.loads(figures.read_text())
        self._check_recipe(path, known)
        model = keras.models.load_model(path)
        if self._protocol.litert and known["gzipped_bytes"] is None:  # not asked for at the time
            known["gzipped_bytes"] = self._write_litert(model, litert)
            write_json(figures, known)
        return Teacher(model, litert, known)

    def _check_recipe(self, path, known):
        asked = json.loads(json.dumps(self._protocol.teacher_recipe()))
        there = known.get("recipe", asked)  # those of before had none
        different = [
            f"{name} {there.get(name)} there, {asked.get(name)} here"
            for name in sorted(there.keys() | asked.keys())
            if there.get(name) != asked.get(name)
        ]
        if different:
            raise TeacherChangedError(
                f"The teacher '{path}' was trained in another way ({'; '.join(different)}). Choose "
                "another output folder, or delete it and what beside it has its name."
            )

    def _write_litert(self, model, path):
        write_litert(model, path)
        return gzipped_bytes(path)

    def images(self, dataset, seed):
        """A data set as every model of the study sees it: `data.ImageData`."""
        return data.load(
            dataset,
            batch_size=self._protocol.batch_size,
            data_dir=self._data_dir,
            decoded=self._decoded,
            max_train_examples=self._protocol.max_train_examples,
            image_size=self._protocol.image_size,
            seed=seed,
            replicas=self._protocol.replicas,
        )

    def untrained(self, model, images, seed):
        """The network of a teacher, with its initial weights."""
        name, width = name_and_width(model)
        return models.build_model(
            name,
            images.input_shape,
            images.classes,
            width=width,
            weight_decay=self._protocol.weight_decay,
            seed=seed,
            synchronized=self._protocol.synchronized,
        )

    def _train(self, cell, path, litert, figures):
        keras.utils.set_random_seed(cell.seed)
        images = self.images(cell.dataset, cell.seed)
        settings = dataclasses.replace(self._protocol.settings, seed=cell.seed)
        backups = backups_of(
            self.folder / f"{path.stem}_backup",
            {"recipe": self._protocol.teacher_recipe(), "backend": keras.backend.backend()},
            self._backup_every,
        )
        epochs = read_epochs(backups)
        before = list(epochs)
        watched = images if self._protocol.watch_test else dataclasses.replace(images, test=None)
        records = EpochRecords("teacher", epochs, images, epochs_path(backups), self._say)
        with self._make_scope():
            model = self.untrained(cell.model, images, cell.seed)
            started = time.monotonic()
            recipe.train_teacher(
                model, watched, settings, [records], backups.of("teacher") if backups else None
            )
            seconds = time.monotonic() - started + seconds_of(before, epochs)
        if self._protocol.replicas > 1:  # variables made under a strategy cannot be exported
            model = copy_model(model)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_keras(model, path)
        zipped = self._write_litert(model, litert) if self._protocol.litert else None
        sizes = profile(model)
        write_json(
            figures,
            {
                "accuracy": recipe.accuracy_on_test(model, images),
                "params": sizes.params,
                "macs": sizes.macs,
                "gzipped_bytes": zipped,
                "seconds": round(seconds, 2),
                "epochs": epochs,
                "recipe": self._protocol.teacher_recipe(),
            },
        )
        if backups:
            backups.delete()
