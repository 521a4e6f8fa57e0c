"""The optional toolkits: what is said without them, and what importing them leaves as it was."""

import os
import subprocess
import sys

import keras
import networks
import pytest

import keras_cascade as kc

REGISTRY = "tensorflow_model_optimization.python.core.sparsity.keras.prune_registry"


def test_without_tfmot_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, REGISTRY, None)
    model = networks.small_convnet()
    with pytest.raises(ImportError, match=r"TF-MOT: pip install 'keras_cascade\[tfmot\]'"):
        kc.prune_weights(model, 0.5, data=networks.examples_for(model, 8))
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(ImportError, match=r"tf_keras: pip install 'keras_cascade\[tfmot\]'"):
        kc.to_tf_keras(model)


ON_JAX = """
import os
import keras, networks, numpy as np, keras_cascade as kc
assert keras.backend.backend() == "jax"
model = networks.small_convnet()
x, y = networks.examples_for(model, 16)
twin = kc.to_tf_keras(model)
back = kc.from_tf_keras(twin)
for other in (twin, back):
    assert np.abs(np.asarray(other(x)) - np.asarray(model(x))).max() < 1e-6
sparse = kc.prune_weights(model, 0.75, data=(x, y), batch_size=8, verbose=0)
zeros = [np.asarray(w) == 0.0 for w in sparse.trainable_weights if len(w.shape) > 1]
assert all(abs(zero.mean() - 0.75) <= 1 / zero.size for zero in zeros)

loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
sparse.compile("adam", loss, jit_compile=True)
for guards in ([kc.SparsityGuard()], []):
    sparse.fit(x, y, batch_size=8, verbose=0, callbacks=guards)
    now = [np.asarray(w) == 0.0 for w in sparse.trainable_weights if len(w.shape) > 1]
    print(all(np.array_equal(a, b) for a, b in zip(zeros, now)))

import tensorflow as tf
print(tf.keras.layers.Dense is keras.layers.Dense, os.environ.get("TF_USE_LEGACY_KERAS"))
"""


@pytest.mark.slow
def test_on_jax_in_a_process_of_its_own():
    """And there tf.keras is what it would have been, although TF-MOT was imported."""
    pytest.importorskip("jax", reason="the JAX backend needs jax")
    environment = {
        **os.environ, "KERAS_BACKEND": "jax", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    environment.pop("TF_USE_LEGACY_KERAS", None)
    result = subprocess.run(
        [sys.executable, "-c", ON_JAX], env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["True", "False", "True", "None"]
    assert keras.backend.backend() == "tensorflow"
