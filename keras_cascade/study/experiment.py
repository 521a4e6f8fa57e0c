"""Experiments: a study as a small TOML file, at the size that a preset sets.

    title = "VGG16 on CIFAR-10"
    question = "What is left of the accuracy when 50 to 90% of the MACs are gone?"

    [grid]                      # as `Grid`
    models = ["vgg16"]
    methods = ["channel_pruning", "taylor_one_shot", "cascade_2"]
    ...

    [settings]                  # as `Protocol.as_dict`
    budget = "macs"

    [variants.taylor_one_shot]  # further methods: `method`, `label`, and what differs
    method = "channel_pruning"
    criterion = "taylor"

    [variants.taylor_by_layer]  # as another variant, but for what is said here
    base = "taylor_one_shot"
    scope = "layer"

    [presets.cpu.grid]          # what is otherwise at one size
    models = ["vgg16@0.25"]

A file common.toml beside it, with the same tables but for title and question, holds what several
experiments share; the experiment's own values stand above it, and a preset's above those of none.
Between the two stands the file that `base = "other_experiment"` names, where there is one. An
experiment has the presets that its own file names, be it by an empty table.
"""

import dataclasses
import pathlib
import tomllib
from typing import Any, Self

from keras_cascade import report
from keras_cascade.study.grid import Grid
from keras_cascade.study.protocol import Protocol
from keras_cascade.study.variants import Variant
from keras_cascade.typing import Path

COMMON = "common.toml"
_OF_PRESETS = ("grid", "settings", "variants")
_TABLES = (*_OF_PRESETS, "presets")
_TEXTS = ("title", "question", "base")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A study with a name.

    Attributes:
        name: of its file, without the ending.
        title: for headings.
        question: what it is to answer, a sentence or two.
        preset: name of its size.
        grid: `Grid`.
        protocol: `Protocol`.
        teachers: name of the folder of its teachers. Experiments of one preset share it, but for
            those that train theirs in another way than common.toml says.

    Example:

    ```python
    experiment = Experiment.read("experiments/vgg16_cifar10.toml", "smoke")
    runner = StudyRunner(experiment.grid, experiment.protocol, "results")
    ```
    """

    name: str
    title: str
    question: str
    preset: str
    grid: Grid
    protocol: Protocol
    teachers: str

    @classmethod
    def read(cls, path: Path, preset: str) -> Self:
        """Reads an experiment's file and those it stands on: its base's, and common.toml.

        Args:
            path: of the TOML file.
            preset: a name among its presets.

        Raises:
            ValueError: the file is no TOML, has other tables, is its own base, or has no such
                preset; or `Grid`, `Variant` or `Protocol` refuse its values. The message names the
                file.
            FileNotFoundError: there is no such file, or none of its base.
        """
        path = pathlib.Path(path)
        *bases, own = _with_bases(path)
        common = _read(path.with_name(COMMON)) if path.with_name(COMMON).exists() else {}
        try:
            presets = own.get("presets", {})
            if preset not in presets:
                raise ValueError(f"there is no such preset; there are {', '.join(presets)}.")
            layers = _layers([common, *bases, own], preset)
            tables = {
                name: _merged([layer.get("variants", {}) for layer in layers], name)
                for name in _merged(layers, "variants")
            }
            variants = {name: _variant(name, tables) for name in tables}
            grid = {name: tuple(values) for name, values in _merged(layers, "grid").items()}
            protocol = Protocol.from_dict(_merged(layers, "settings"))
            shared = Protocol.from_dict(_merged(_layers([common], preset), "settings"))
            alike = protocol.teacher_recipe() == shared.teacher_recipe()
            return cls(
                path.stem,
                own["title"],
                own["question"],
                preset,
                Grid(**grid, variants=variants),
                protocol,
                preset if alike else f"{path.stem}_{preset}",
            )
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ValueError(f"'{path}', preset '{preset}': {reason}") from error

    @staticmethod
    def presets(path: Path) -> tuple[str, ...]:
        """The names of the presets that an experiment's file has.

        Args:
            path: of the TOML file.

        Raises:
            ValueError, FileNotFoundError: as `read`.
        """
        return tuple(_read(pathlib.Path(path)).get("presets", {}))

    def label(self, method: str) -> str:
        """A method as a reader is shown it."""
        return self.grid.variant(method).label or report.METHODS.get(method, method)

    @property
    def results(self) -> str:
        """Name of the file of its results."""
        return f"{self.name}_{self.preset}.jsonl"


def _read(path):
    if not path.is_file():
        raise FileNotFoundError(f"There is no experiment '{path}'.")
    try:
        values = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"'{path}' is no TOML file: {error}") from error
    _check_names(path, values, (*_TEXTS, *_TABLES))
    for preset in values.get("presets", {}).values():
        _check_names(path, preset, _OF_PRESETS)
    return values


def _with_bases(path, derived=()):
    """What an experiment's file holds, after what the files hold that it stands on."""
    if path.stem in derived:
        circle = " < ".join([*derived, path.stem])
        raise ValueError(f"experiment '{path}' is its own base ({circle}).")
    own = _read(path)
    if "base" not in own:
        return [own]
    base = path.with_name(f"{own['base']}.toml")
    return [*_with_bases(base, (*derived, path.stem)), own]


def _check_names(path, values, known):
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"'{path}' has {', '.join(unknown)}; there may be {', '.join(known)}.")


def _layers(files, preset):
    """What holds, the lower before the higher."""
    return [*files, *(file.get("presets", {}).get(preset, {}) for file in files)]


def _merged(layers, table) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        merged |= layer.get(table, {})
    return merged


def _variant(name, tables):
    values = _with_base(name, tables)
    return Variant(values.pop("method"), label=values.pop("label", None), settings=values)


def _with_base(name, tables, derived=()):
    """A variant's values above those of its base, which may have a base too."""
    if name in derived:
        raise ValueError(f"variant '{name}' is its own base ({' < '.join([*derived, name])}).")
    values = dict(tables[name])
    base = values.pop("base", None)
    if base is None:
        return values
    if base not in tables:
        raise ValueError(f"the base '{base}' of '{name}' is no variant.")
    return {**_with_base(base, tables, (*derived, name)), "label": None, **values}
