"""Experiments run on JAX alone; what needs TensorFlow is left out and named."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("sklearn", reason="digits come with scikit-learn")

SCRIPT = pathlib.Path(__file__).parents[2] / "experiments" / "run.py"
# Importing what is None in sys.modules raises.
PROGRAM = """
import pathlib, runpy, sys
for name in (
    "tensorflow", "tf_keras", "tensorflow_datasets", "tensorflow_model_optimization",
    "ai_edge_litert", "matplotlib",
):
    sys.modules[name] = None
script, *flags = sys.argv[1:]
sys.argv = [script, *flags]
sys.path.insert(0, str(pathlib.Path(script).parent))
runpy.run_path(script, run_name="__main__")
"""


pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed"
)


def run(*flags):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, SCRIPT, *flags],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_the_study_runs_on_jax_alone(tmp_path):
    methods = "teacher,l1,frozen_0,weight_pruning"
    result = run(
        "--preset=smoke",
        "--experiments=four_families",
        f"--methods={methods}",
        f"--output_dir={tmp_path}",
    )
    assert result.returncode == 0, result.stderr
    assert "TF-MOT is not installed; left out: weight_pruning." in result.stdout
    lines = (tmp_path / "four_families_smoke.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["method"] for row in rows] == ["teacher", "l1", "frozen_0"]
    for row in rows:
        assert "error" not in row and row["versions"]["backend"] == "jax"
        assert row["versions"]["jax"] and row["gzipped_bytes"] is None


def test_experiments_whose_data_is_not_there_are_left_out_unless_they_are_named(tmp_path):
    flags = ["--preset=full", f"--decoded={tmp_path}", f"--output_dir={tmp_path / 'out'}"]
    result = run(*flags)
    assert "ResNet50 on ten classes of ImageNet: left out, its data is not there." in result.stdout
    assert "There is no data for any experiment of preset full." in result.stderr
    result = run(*flags, "--experiments=resnet50_imagenette")
    assert (
        result.stdout == "" and f"There is no '{tmp_path}/imagenette-160px-v2.npz'" in result.stderr
    )
    assert result.returncode != 0
