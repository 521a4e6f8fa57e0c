"""Examples in public docstrings, the README and the pages of docs/ run as they stand."""

import os
import pathlib
import re
import types

import keras
import networks
import numpy as np
import pytest

import keras_cascade as kc
from keras_cascade.deploy import latency_pruning, latency_table

ROOT = pathlib.Path(__file__).parents[1]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
PUBLIC = [name for name in kc.__all__ if not name.startswith("_")]
# Plain data that other calls return, and errors: there is nothing to call.
NO_EXAMPLE = {
    "ChannelGroup",
    "DataError",
    "ExportError",
    "Flow",
    "KeepWhole",
    "ModelProfile",
    "NonFiniteLossError",
    "SurgeryError",
    "TrainingInterrupted",
}


def _blocks(text):
    lines = "\n".join(line.removeprefix("    ") for line in (text or "").splitlines())
    return BLOCK.findall(lines)


# Pages whose code is one program each, over what `names` holds; rules.md has a test of its own.
PAGES = [
    "deploy.md",
    "distribute.md",
    "how_it_works.md",
    "index.md",
    "prune_your_model.md",
    "quickstart.md",
    "troubleshooting.md",
    "weight_pruning.md",
]


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the examples take for granted: a model, data, a trained cascade's parts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for module in (latency_table, latency_pruning):
        monkeypatch.setattr(module, "write_litert", _write_params)
        monkeypatch.setattr(module, "measure_latency", _by_bytes)
    wide = _wide()
    images, labels = networks.examples_for(wide, 16)
    train = _batches(images, labels)
    loss = "sparse_categorical_crossentropy"
    cascade = kc.CascadeDistiller(wide, (0.5,))
    cascade.compile("sgd", loss)
    return {
        "keras": keras, "np": np, "kc": kc, "model": wide, "x": images, "y": labels,
        "train": train, "val": train, "cascade": cascade, "SoftTargetLoss": kc.SoftTargetLoss,
        "FiniteLossGuard": kc.FiniteLossGuard, "large": wide, "small": kc.prune(wide, 0.5),
        "student": kc.prune(wide, 0.5),
        "masks": {}, "loss": loss, "fresh_copy": keras.models.clone_model(wide),
    }  # fmt: skip


def _write_params(model, path, quantize=None, keep_batch=False):
    path.write_bytes(bytes(4 * model.count_params()))


def _by_bytes(paths, **_):
    """Stands in for measured latency: a millisecond for every ten thousand bytes of a file."""
    return {
        name: types.SimpleNamespace(median_ms=os.path.getsize(path) / 10_000)
        for name, path in paths.items()
    }


def _wide():
    """Four classes; so wide that the default floor of four channels leaves room for every level."""
    x = inputs = keras.Input((8, 8, 3))
    for filters in (16, 32, 32):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(4, activation="softmax")(x)
    return networks.unsettled(keras.Model(inputs, outputs))


def _batches(images, labels):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_examples_run(name, names):
    blocks = _blocks(getattr(kc, name).__doc__)
    assert bool(blocks) != (name in NO_EXAMPLE)
    if name == "FiniteLossGuard":
        names["model"].compile("sgd", names["loss"])
    if name == "masked_view":
        names["model"] = _with_group_of_64(names)
    for block in blocks:
        code = block.replace("epochs=30", "epochs=2").replace("epochs=5", "epochs=1")
        code = code.replace("(weights=None)", "(weights=None, input_shape=(64, 64, 3))")
        code = code.replace("round_to=8", "round_to=2")  # the model has few channels
        exec(code, names)


def _with_group_of_64(names):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(64, 3, name="conv1")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(2, 1)(x))


def test_readme_examples_run(names, capsys):
    first, second, third = BLOCK.findall((ROOT / "README.md").read_text())
    assert 'format="litert"' in first
    exec(first.replace("loss=...", "loss=loss").replace("epochs=30", "epochs=1"), names)
    assert os.path.getsize("student.tflite") > 1000
    assert len(first.strip().splitlines()) <= 9  # the eight lines and a blank one
    exec(second, names)
    assert "channel groups" in capsys.readouterr().out
    exec(third.replace("epochs=5", "epochs=1"), names)
    zeros = [np.mean(weight.numpy() == 0) for weight in names["sparse"].trainable_weights]
    assert sum(share >= 0.79 for share in zeros) == 4  # the kernels
    x = names["x"]
    np.testing.assert_allclose(names["twin"](x), names["model"](x), atol=1e-6)


def test_rules_page_examples_run(capsys):
    names = {"keras": keras, "kc": kc, "np": np}
    for block in BLOCK.findall((ROOT / "docs" / "rules.md").read_text()):
        exec(block, names)
    reason, scale, mixing = capsys.readouterr().out.splitlines()
    assert reason == "scale: no rule for ChannelScale"
    filters, shape = scale.split(maxsplit=1)
    assert int(filters) < 8 and shape == f"({filters},)"
    whole, left, first = map(int, mixing.split())
    assert left <= 0.5 * whole and first < 12


def test_pages_with_code_are_run():
    pages = {page.name for page in (ROOT / "docs").glob("*.md") if BLOCK.search(page.read_text())}
    assert pages == {*PAGES, "rules.md"}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_pages_run(page, names, monkeypatch):
    """Each page's code in its order, with one epoch of each training."""
    import tensorflow as tf
    from strategies import mirrored

    strategy = mirrored()
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: strategy)
    names["model"].save("model.keras")
    kc.deploy.write_litert(names["model"], "teacher.tflite")
    blocks = BLOCK.findall((ROOT / "docs" / page).read_text())
    assert blocks
    for block in blocks:
        code = block.replace("round_to=8", "round_to=2")  # the models have few channels
        exec(re.sub(r"epochs=\d+", "epochs=1", code), names)
