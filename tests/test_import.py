"""Importing the package brings Keras and NumPy alone; its packages import in one direction."""

import ast
import os
import pathlib
import subprocess
import sys

IMPORTS = """
import sys, keras_cascade, keras_cascade.models, keras_cascade.data
import keras_cascade.recipe, keras_cascade.report, keras_cascade.deploy
print(sorted({'tensorflow', 'tensorflow_datasets', 'torch', 'jax'} & set(sys.modules)))
"""


def test_import_brings_no_backend():
    """Nor one that Keras, here on NumPy's, does not run on."""
    result = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    # Keras' NumPy backend computes some operations with JAX.
    assert set(result.stdout.split()) <= {"[]", "['jax']"}


ROOT = pathlib.Path(__file__).parents[1]


def allowed():
    """What each package may import, as docs/design.md has it in a table."""
    table = (ROOT / "docs" / "design.md").read_text().split("| may import |\n")[1]
    packages = {}
    for line in table.splitlines()[1:]:
        if not line.startswith("|"):
            break
        name, _, may = (cell.strip() for cell in line.strip("|").split("|"))
        words = set(may.replace(";", ",").replace(" inside functions", "").split(", "))
        packages[name] = set(packages) if "all above" in words else words
    return packages


def imported(package):
    """The packages of ours that the modules of one import, within functions too."""
    found = set()
    for path in (ROOT / "keras_cascade" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_cascade"):
                _, *rest = node.module.split(".")
                found |= {rest[0]} if rest else {alias.name for alias in node.names}
    return {name for name in found if (ROOT / "keras_cascade" / name).is_dir()} - {package}


def test_packages_import_what_the_design_allows():
    packages = allowed()
    folders = {path.parent.name for path in (ROOT / "keras_cascade").glob("*/__init__.py")}
    assert set(packages) == folders
    too_many = {name: imported(name) - packages[name] for name in packages}
    assert not {name: found for name, found in too_many.items() if found}
