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
import runpy, sys
for name in (
    "tensorflow", "tf_keras", "tensorflow_datasets", "tensorflow_model_optimization",
    "ai_edge_litert", "matplotlib",
):
    sys.modules[name] = None
script, *flags = sys.argv[1:]
sys.argv = [script, *flags]
runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_the_study_runs_on_jax_alone(tmp_path):
    methods = "teacher,l1,frozen_0,weight_pruning"
    result = subprocess.run(
        [
            sys.executable, "-c", PROGRAM, SCRIPT, "--preset=smoke", "--experiments=four_families",
            f"--methods={methods}", f"--output_dir={tmp_path}",
        ],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "TF-MOT is not installed; left out: weight_pruning." in result.stdout
    lines = (tmp_path / "four_families_smoke.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["method"] for row in rows] == ["teacher", "l1", "frozen_0"]
    for row in rows:
        assert "error" not in row and row["versions"]["backend"] == "jax"
        assert row["versions"]["jax"] and row["gzipped_bytes"] is None
