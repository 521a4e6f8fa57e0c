"""Records: the results of a study as JSON lines, each written at once when its cell is finished.

A line that a killed run left torn, or that somebody damaged, is skipped, named, and its cell is run
again. Of several lines of one cell the last holds. Runs may append to one file at the same time.
"""

import dataclasses
import json
import os
import pathlib

import keras

from keras_cascade.study.grid import Cell
from keras_cascade.typing import Path, Record, Row

_KEYS = tuple(field.name for field in dataclasses.fields(Cell))


class Records:
    """The rows of one `results.jsonl`.

    Args:
        path: of the file; it need not exist.
        settings: what every row must have been made with: `Protocol.as_dict()`. None takes the
            rows as they are.
        backend: Keras' backend that every row must have been made on; None takes those of any.

    Attributes:
        damaged: list of sentences, one for each line that was skipped.

    Raises:
        ValueError: rows of other settings, or of another backend, are in the file.

    Example:

    ```python
    records = Records("runs/study/results.jsonl", protocol.as_dict(), keras.backend.backend())
    records.append({"model": "resnet20", ...})
    ```
    """

    def __init__(
        self, path: Path, settings: Record | None = None, backend: str | None = None
    ) -> None:
        self.path, self._backend = pathlib.Path(path), backend
        self._settings = None if settings is None else json.loads(json.dumps(settings))
        self.damaged = []
        self._by_cell = {}
        for number, line in enumerate(self._lines(), 1):
            row = self._parsed(line, number)
            if row is not None:
                self._check_comparable(row)
                self._by_cell[_cell(row)] = row

    @property
    def rows(self) -> list[Row]:
        """The last row of every cell, in the order of the cells' first rows."""
        return list(self._by_cell.values())

    def finished(self, cell: Cell) -> bool:
        """Whether a cell has a result (and not only an error)."""
        return cell in self._by_cell and "error" not in self._by_cell[cell]

    def failed(self, cell: Cell) -> bool:
        """Whether a cell has an error and no result."""
        return cell in self._by_cell and not self.finished(cell)

    def row(self, cell: Cell) -> Row:
        """The last row of a cell; KeyError if it has none."""
        return self._by_cell[cell]

    def made_as(self, cell: Cell, settings: Record, variant: Record) -> Row | None:
        """A finished row that is a cell's by all but its method's name.

        Args:
            cell: what is looked for; its method's name does not count.
            settings: `Protocol.as_dict()`.
            variant: `Variant.as_dict()`.

        Returns:
            The row, with its "variant"; None where there is none of this backend.
        """
        wanted = json.loads(json.dumps({"settings": settings, "variant": variant}))
        for other, row in self._by_cell.items():
            same_cell = dataclasses.replace(other, method=cell.method) == cell
            known = {**row, "variant": row.get("variant", {"method": other.method})}
            made = {name: known[name] for name in wanted}
            here = _backend_of(row) in (None, keras.backend.backend())
            if same_cell and self.finished(other) and made == wanted and here:
                return known
        return None

    def append(self, row: Row) -> None:
        """Adds a row, here and in the file, in one write.

        Args:
            row: dict with the fields of `Cell` and what else is to be kept; JSON's types.
        """
        line = json.dumps(row)
        content = line.encode() + b"\n"
        if self._ends_torn():
            content = b"\n" + content
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._by_cell[_cell(row)] = json.loads(line)

    def _lines(self):
        if not self.path.exists():
            return []
        return self.path.read_bytes().decode(errors="replace").splitlines()

    def _parsed(self, line, number):
        if not line.strip():
            return None
        try:
            row = json.loads(line)
            missing = [key for key in (*_KEYS, "settings") if key not in row]
        except (ValueError, TypeError):
            missing = ["JSON"]
            row = None
        if not isinstance(row, dict) or missing:
            self.damaged.append(
                f"{self.path}, line {number} is damaged (no {', '.join(missing)}) and is skipped; "
                "its cell is run again."
            )
            return None
        return row

    def _check_comparable(self, row):
        if "error" in row:
            return
        if self._backend is not None and _backend_of(row) not in (None, self._backend):
            raise ValueError(
                f"{self.path} holds results of the backend {_backend_of(row)}; this is "
                f"{self._backend}. Choose another output folder."
            )
        if self._settings is None or row["settings"] == self._settings:
            return
        here, there = self._settings, row["settings"]
        different = [
            f"{key} {there.get(key)} there, {here.get(key)} here"
            for key in sorted(here.keys() | there.keys())
            if here.get(key) != there.get(key)
        ]
        raise ValueError(
            f"{self.path} holds results of other settings ({'; '.join(different)}). Choose another "
            "output folder, or the same settings."
        )

    def _ends_torn(self):
        if not self.path.exists() or not self.path.stat().st_size:
            return False
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() != b"\n"


def _backend_of(row):
    return row.get("versions", {}).get("backend")


def _cell(row):
    return Cell(**{key: row[key] for key in _KEYS})
