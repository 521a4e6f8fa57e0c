"""The pictures of the site are drawn from a cascade that is trained for them."""

import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

DOCS = pathlib.Path(__file__).parents[1] / "docs"
NAMES = ["levels", "masks", "saliency", "schedule"]


@pytest.mark.slow
def test_pictures_are_drawn(tmp_path):
    done = subprocess.run(
        [sys.executable, DOCS / "draw_pictures.py", "--epochs=1", f"--output_dir={tmp_path}"],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert sorted(path.stem for path in tmp_path.iterdir()) == NAMES
    for name in NAMES:
        assert {"ta1", "ta2", "student"} <= _texts(tmp_path / f"{name}.svg")
    assert {"conv1", "conv6", "saliency"} <= _texts(tmp_path / "saliency.svg")


@pytest.mark.parametrize("name", NAMES)
def test_committed_pictures_are_shown(name):
    assert "student" in _texts(DOCS / "pictures" / f"{name}.svg")
    assert f"(pictures/{name}.svg)" in (DOCS / "how_it_works.md").read_text()


def _texts(path):
    """The texts in an SVG file: set of str."""
    found = ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    return {"".join(one.itertext()).strip() for one in found}
