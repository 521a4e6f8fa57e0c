"""Importing the package brings Keras and NumPy, never TensorFlow."""

import os
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
