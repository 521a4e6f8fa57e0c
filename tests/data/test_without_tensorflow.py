"""On JAX the whole job runs where TensorFlow cannot be imported."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("sklearn", reason="digits come with scikit-learn")

# Importing what is None in sys.modules raises.
PROGRAM = """
import json, sys
for name in ("tensorflow", "tf_keras", "tensorflow_datasets"):
    sys.modules[name] = None

import jax, keras
import keras_cascade.cascade, keras_cascade.profile, keras_cascade.saliency, keras_cascade.surgery
from keras_cascade import data, models, recipe, report, study
from keras_cascade.data import array_batches, array_pipeline

made, traces, counts = [], [], []

class Recorded(array_batches.NumberedBatches):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        made.append(self)

array_pipeline.NumberedBatches = Recorded

class Traced(keras.layers.Layer):
    def call(self, inputs):
        traces.append(inputs.shape)
        return inputs

images = data.load("digits", batch_size=100, max_train_examples=250, seed=3)  # 100, 100 and 50
x = inputs = keras.Input(images.input_shape)
x = keras.layers.ReLU()(keras.layers.Conv2D(6, 3)(Traced()(x)))
model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(x)))
settings = recipe.Settings(teacher_epochs=2, epochs=2, levels=(0.3, 0.6), min_channels=1)
count = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: counts.append(len(traces)))
recipe.train_teacher(model, images, settings, [count])

with jax.transfer_guard_device_to_host("disallow"):
    on_device = [isinstance(x, jax.Array) for x, _ in images.train]
cascade, logs = recipe.train_cascade(model, images, settings)
student = cascade.extract()

accuracy = recipe.accuracy_on_test(student, images)
backup = keras_cascade.TrainingBackup(sys.argv[1])
backed_up = recipe.train_teacher(student, images, settings, backup=backup)
print(json.dumps({
    "accuracy": accuracy,
    "val_accuracy": logs["val_accuracy"],
    "epochs": len(backed_up["loss"]),
    "on_device": on_device,
    "traces": counts,
    "programs": [batches._on_device._cache_size() for batches in made],
    "modules": sorted(name for name in sys.modules if name.startswith("tensorflow.")),
    "backend": report.versions()["backend"],
}))
"""


@pytest.mark.slow
def test_a_cascade_is_trained_and_evaluated(tmp_path):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed (the dev and backends extras bring it)")
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["modules"] == [] and found["backend"] == "jax"
    assert found["accuracy"] == pytest.approx(found["val_accuracy"][-1], abs=1e-6)
    assert found["epochs"] == 2
    assert found["on_device"] == [True] * 3  # and not copied to the host on the way
    # Whole batches and the smaller last one: two programs each, none more in the second epoch.
    assert found["programs"] == [2, 2]
    assert found["traces"][0] == found["traces"][1]
