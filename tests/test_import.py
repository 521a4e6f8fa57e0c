"""Importing the package brings Keras and NumPy, never TensorFlow; the core runs without it."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[1]


def _run(code, backend):
    paths = os.pathsep.join(map(str, (ROOT / "tests", ROOT / "tests" / "graph")))
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": paths,
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # XLA's take longer than the few steps here
    }
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


IMPORTS = """
import sys, keras_cascade, keras_cascade.models, keras_cascade.data
import keras_cascade.recipe, keras_cascade.report, keras_cascade.deploy
print(sorted({'tensorflow', 'tensorflow_datasets'} & set(sys.modules)))
"""


def test_import_does_not_import_tensorflow():
    assert _run(IMPORTS, "numpy").strip() == "[]"


CASCADE = """
import json, keras, networks, numpy as np
import keras_cascade as kc
from keras_cascade.saliency.taylor import taylor
keras.utils.set_random_seed(0)
model = networks.small_convnet()
random = np.random.default_rng(0)  # draws that do not depend on the backend
model.set_weights(
    [w if w.ndim == 1 else random.normal(0, 0.3, w.shape) for w in model.get_weights()]
)
cascade = kc.CascadeDistiller(model, (0.3, 0.6), min_channels=1, momentum=0.5)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
cascade.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"],
                jit_compile=keras.backend.backend() == "jax")
x, y = networks.examples_for(model, 16)
logs = cascade.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0,
                   callbacks=[kc.CascadeCallback(end=4, frequency=1)]).history
student = cascade.extract()
difference = abs(student.predict(x, verbose=0) - cascade.predict(x, verbose=0)).max()
print(difference < 1e-5, student.count_params() < model.count_params())
logs["taylor"] = taylor(kc.ChannelGraph(student), (x, y), loss).tolist()
print(json.dumps({name: logs[name] for name in logs}))
"""


def test_the_core_runs_on_jax_and_gives_what_tensorflow_gives(capsys):
    """In a process of its own on JAX, which the import of the package leaves without TensorFlow."""
    pytest.importorskip("jax", reason="the JAX backend needs jax")
    imported, *by_jax = _run(IMPORTS + CASCADE, "jax").strip().split("\n")
    assert imported == "[]"
    assert keras.backend.backend() == "tensorflow"
    exec(CASCADE, {})
    by_tensorflow = capsys.readouterr().out.strip().split("\n")
    assert by_jax[-2] == by_tensorflow[-2] == "True True"
    by_jax, by_tensorflow = json.loads(by_jax[-1]), json.loads(by_tensorflow[-1])
    assert by_jax["student_flips"][0] > 0
    for name in by_tensorflow:
        assert by_jax[name] == pytest.approx(by_tensorflow[name], rel=1e-3, abs=1e-5), name


LAYERS_THAT_MIX_INSIDE = """
import invariants, keras_cascade as kc, numpy as np, rule_cases
for case in ("multi_head", "multi_head_dropout", "layer_normalization", "lstm", "windows"):
    model = rule_cases.CUT[case]()
    graph = kc.ChannelGraph(model)
    invariants.assert_extraction(model, invariants.random_masks(graph, np.random.default_rng(0)))
    print(case, [group.name for group in graph.groups if not group.prunable])
"""


@pytest.mark.slow
def test_layers_that_mix_channels_inside_are_cut_exactly_on_jax():
    pytest.importorskip("jax", reason="the JAX backend needs jax")
    printed = _run(LAYERS_THAT_MIX_INSIDE, "jax")
    assert "multi_head ['heads/value'" in printed  # fused attention takes one width only
    assert "multi_head_dropout ['heads/value'" not in printed
