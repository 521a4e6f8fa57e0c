"""What a folder that `keras-cascade train` wrote holds, read for its report."""

import json
import pathlib

from keras_cascade.report.files import sha256_of
from keras_cascade.typing import Path, Record

RESULTS, LATENCY = "results.json", "latency.json"
_EXPORT = pathlib.Path("student", "manifest.json")
_MODELS = ("teacher.keras", "student.keras")


def read_run(folder: Path) -> Record:
    """Reads the results of a run and what stands beside them.

    Args:
        folder: the run's output folder.

    Returns:
        Dict: what results.json holds, files (dict from the path of a model's file to its bytes)
        and latency (see `read_latency`).

    Raises:
        ValueError: results.json is not there, damaged, or of another kind.
    """
    folder = pathlib.Path(folder)
    run = _read_json(folder / RESULTS)
    rows = run.get("rows") if isinstance(run, dict) else None
    if not isinstance(rows, list) or not rows or not all(map(_is_row, rows)):
        raise ValueError(f"'{folder / RESULTS}' holds no results of keras-cascade train.")
    files = {name: folder / name for name in _MODELS}
    sizes = {name: path.stat().st_size for name, path in files.items() if path.is_file()}
    # Without differences nothing was exported, and what is there is of an earlier run.
    if run.get("differences") and (folder / _EXPORT).is_file():
        manifest = _read_json(folder / _EXPORT)
        exported = {f"student/{name}": file["bytes"] for name, file in manifest["files"].items()}
        sizes |= exported
    return {**run, "files": sizes, "latency": read_latency(folder)}


def _is_row(row):
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        return False
    return all(isinstance(row.get(name), int | float) for name in ("accuracy", "params", "macs"))


def read_latency(folder: Path) -> Record | None:
    """The latencies that were measured of a run's student.

    Args:
        folder: the run's output folder.

    Returns:
        Dict with student_sha256 (of student.keras), threads, runs, versions and models: dict from
        name to the fields of a `deploy.Latency`. None where nothing was measured, or another
        student.

    Raises:
        ValueError: latency.json is damaged.
    """
    path, student = pathlib.Path(folder, LATENCY), pathlib.Path(folder, "student.keras")
    if not path.is_file() or not student.is_file():
        return None
    found = _read_json(path)
    return found if found.get("student_sha256") == sha256_of(student) else None


def _read_json(path):
    if not path.is_file():
        raise ValueError(f"There is no file '{path}'.")
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"'{path}' is damaged: {error}.") from error
