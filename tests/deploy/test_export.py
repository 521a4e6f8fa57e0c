"""Exports are whole, run in their own runtimes, and give what the model gives."""

import hashlib
import json
import signal
import subprocess
import sys

import keras
import networks
import numpy as np
import pytest
from keras import layers

import keras_cascade as kc
from keras_cascade.deploy import ExportError, export, formats

pytestmark = pytest.mark.only_on(
    "tensorflow", "jax", reason="Keras on PyTorch writes no SavedModel"
)
pytest.importorskip("ai_edge_litert", reason="running .tflite needs ai-edge-litert")
FILES = {"saved_model", "litert"}


def pruned():
    return kc.prune(networks.small_convnet(), 0.5, min_channels=2)


@pytest.fixture
def write_with_other_weights(monkeypatch):
    """Has every file be of the model with the weights that `change` makes of its list of them."""
    write = formats.write_saved_model

    def of(change):
        def write_another(model, path):
            other = keras.models.clone_model(model)
            other.set_weights(change(model.get_weights()))
            write(other, path)

        monkeypatch.setattr(formats, "write_saved_model", write_another)

    return of


def scaled_head(factor):
    return lambda weights: [*weights[:-2], *(factor * weight for weight in weights[-2:])]


def test_an_export_is_whole_and_says_what_it_is(tmp_path):
    model = pruned()
    x, _ = networks.examples_for(model, 5)
    for _ in range(2):  # the second time over what is there
        manifest = export(model, tmp_path / "out", FILES, representative_data=x)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    written = {
        str(path.relative_to(tmp_path / "out"))
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert written == {*manifest["files"], "manifest.json"}
    assert {"model.tflite", "saved_model/saved_model.pb"} <= written
    for name, facts in manifest["files"].items():
        content = (tmp_path / "out" / name).read_bytes()
        assert facts == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert manifest["params"] == model.count_params() and manifest["macs"] > 0
    assert manifest["inputs"][0]["shape"] == [None, 8, 8, 2]
    assert manifest["examples"] == "given" and set(manifest["parity"]) == FILES
    for found in manifest["parity"].values():
        assert found["relative_difference"] < 1e-5 and found["top1_agreement"] == 1.0


@pytest.mark.only_on("jax", reason="the others do, or write nothing")
def test_no_onnx_on_jax(tmp_path):
    with pytest.raises(ExportError, match="ONNX files are written .* KERAS_BACKEND=tensorflow"):
        export(pruned(), tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.only_on("jax", reason="TensorFlow's files are of no device")
def test_what_a_gpu_writes_runs_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr("jax.export.default_export_platform", lambda: "cuda")
    monkeypatch.setattr("jax._src.export._export.default_export_platform", lambda: "cuda")
    manifest = export(pruned(), tmp_path / "out", FILES)
    assert max(found["relative_difference"] for found in manifest["parity"].values()) < 1e-5


@pytest.mark.only_on("tensorflow", reason="Keras writes ONNX elsewhere by other means")
@pytest.mark.filterwarnings("error::FutureWarning")
def test_onnx(tmp_path):
    pytest.importorskip("tf2onnx", reason="ONNX needs the extra onnx")
    for number, model in enumerate((pruned(), networks.two_branches())):
        manifest = export(model, tmp_path / str(number), ["onnx"])
        assert list(manifest["files"]) == ["model.onnx"]
        assert manifest["parity"]["onnx"]["relative_difference"] < 1e-5


def test_inputs_and_outputs_keep_their_places(tmp_path):
    manifest = export(networks.two_branches(), tmp_path / "out", FILES)
    assert [one["name"] for one in manifest["inputs"]] == ["z_image", "a"]
    assert max(found["relative_difference"] for found in manifest["parity"].values()) < 1e-5


@pytest.mark.parametrize(
    "keys", [("a", "output_0"), ("output_2", "output_10"), None], ids=["some", "all", "a list"]
)
def test_outputs_may_be_named_as_if_they_were_numbered(tmp_path, keys):
    inputs = keras.Input((4,))
    outputs = [layers.Dense(1)(inputs) for _ in range(11)]  # output_10 is before output_2 as text
    model = keras.Model(inputs, dict(zip(keys, outputs, strict=False)) if keys else outputs)
    for one in (model, keras.Sequential([inputs, model])):
        manifest = export(one, tmp_path / "out", FILES)
        assert max(found["relative_difference"] for found in manifest["parity"].values()) < 1e-5


def test_a_fixed_batch_size(tmp_path):
    inputs = keras.Input(batch_shape=(2, 6, 6, 3))
    model = keras.Model(inputs, layers.Flatten()(layers.Conv2D(4, 3)(inputs)))
    manifest = export(model, tmp_path / "out", "litert")
    assert manifest["inputs"][0]["shape"] == [2, 6, 6, 3]


@pytest.mark.parametrize("quantize", [None, "float16", "dynamic", "int8"])
def test_quantized_files_are_smaller_and_near(tmp_path, quantize):
    parts = [layers.Conv2D(32, 3, activation="relu"), layers.Flatten(), layers.Dense(64)]
    model = keras.Sequential([keras.Input((8, 8, 3)), *parts])
    x = np.random.default_rng(0).standard_normal((64, 8, 8, 3)).astype("float32")
    sizes = {}
    for kind in (None, quantize):
        manifest = export(
            model, tmp_path / str(kind), ["litert"], quantize=kind, representative_data=x
        )
        sizes[kind] = manifest["files"]["model.tflite"]["bytes"]
    weights = 4 * model.count_params()
    share = {None: 1.0, "float16": 0.5, "dynamic": 0.25, "int8": 0.25}[quantize]
    assert sizes[quantize] == pytest.approx(share * weights, rel=0.2)
    parity = manifest["parity"]["litert"]
    assert parity["relative_difference"] < {None: 1e-5, "float16": 3e-3}.get(quantize, 0.1)
    assert parity["relative_difference"] > {None: -1.0}.get(quantize, 1e-6)


def test_a_file_that_gives_something_else_fails_the_export(tmp_path, write_with_other_weights):
    model = pruned()
    (tmp_path / "out").mkdir()
    write_with_other_weights(lambda weights: [weight + 0.1 for weight in weights])
    with pytest.raises(
        ExportError, match=r"The outputs of the \w+ file .* tolerance=0.0001.*nothing was exported"
    ):
        export(model, tmp_path / "out", FILES)
    assert not list((tmp_path / "out").iterdir()) and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("bias", [-1, -3])
def test_a_file_that_gives_nan_in_any_output_fails_the_export(
    tmp_path, write_with_other_weights, bias
):
    def change(weights):
        weights[bias] = np.full_like(weights[bias], np.nan)
        return weights

    model = networks.two_branches()
    write_with_other_weights(change)
    with pytest.raises(ExportError, match="differ by nan of the largest"):
        export(model, tmp_path / "out", FILES)


def test_outputs_may_be_boolean(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(3)(inputs) > 0.5)
    manifest = export(model, tmp_path / "out", "litert")
    assert manifest["parity"]["litert"]["max_difference"] == 0.0


@pytest.mark.parametrize("probabilities", [True, False])
def test_an_eight_bit_classifier_must_agree(tmp_path, write_with_other_weights, probabilities):
    model = networks.small_convnet()
    if probabilities:
        model = keras.Model(model.inputs, layers.Softmax()(model.output))
    x, _ = networks.examples_for(model, 32)
    options = {"quantize": "int8", "representative_data": x}
    options |= {} if probabilities else {"min_agreement": 0.9}
    export(model, tmp_path / "agrees", "litert", **options)

    write_with_other_weights(scaled_head(-1))
    with pytest.raises(ExportError, match="int8 file agrees .* on the class of .* below 90.0%"):
        export(model, tmp_path / "out", "litert", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["agrees"]


def test_eight_bits_of_other_outputs_must_be_near(tmp_path, write_with_other_weights):
    """The largest output is in the same place, fifty times what it was."""
    model = networks.small_convnet()
    x, _ = networks.examples_for(model, 32)
    options = {"quantize": "int8", "representative_data": x}
    export(model, tmp_path / "near", "litert", **options)

    write_with_other_weights(scaled_head(50))
    with pytest.raises(ExportError, match="tolerance=0.2 allows.* min_agreement=0.9 instead"):
        export(model, tmp_path / "out", "litert", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["near"]


def test_nan_is_no_agreement(tmp_path, write_with_other_weights):
    model = networks.small_convnet()
    write_with_other_weights(lambda weights: [np.full_like(each, np.nan) for each in weights])
    with pytest.raises(ExportError, match="differ by nan of the largest"):
        export(model, tmp_path / "out", "litert", quantize="dynamic", min_agreement=0.0)


def test_eight_bits_of_several_inputs(tmp_path):
    sides = [keras.Input((4,), name=name) for name in ("left", "right")]
    model = keras.Model(sides, layers.Dense(3)(layers.Concatenate()(sides)))
    x = [np.random.default_rng(seed).standard_normal((40, 4)) for seed in (0, 1)]
    manifest = export(model, tmp_path / "out", "litert", quantize="int8", representative_data=x)
    assert manifest["parity"]["litert"]["relative_difference"] < 0.05


def test_augmentation_in_the_model_is_left_out(tmp_path):
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    x = layers.RandomContrast(0.2)(layers.RandomFlip()(inputs))
    model = keras.Model(inputs, layers.Conv2D(3, 3)(layers.RandomRotation(0.1)(x)))
    x = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3))
    manifest = export(model, tmp_path / "out", FILES, representative_data=x)
    assert max(found["relative_difference"] for found in manifest["parity"].values()) < 1e-5


def of_strings(*lookup):
    """A model that embeds strings, by what numbers them."""
    x = inputs = keras.Input((3,), dtype="string", name="words")
    for layer in lookup:
        x = layer(x)
    return keras.Model(inputs, layers.Embedding(9, 2)(x))


@pytest.mark.only_on("tensorflow", reason="the others have no strings")
@pytest.mark.parametrize("quantize", [None, "dynamic"])
def test_inputs_may_be_strings(tmp_path, quantize):
    model = of_strings(layers.StringLookup(vocabulary=["a", "b"]))
    words = np.array([["a", "b", "longer"]] * 3)
    for data in (None, words, np.char.encode(words), words.astype(object)):
        manifest = export(
            model, tmp_path / "out", FILES, representative_data=data, quantize=quantize
        )
        assert max(found["max_difference"] for found in manifest["parity"].values()) < 1e-5
    with pytest.raises(ValueError, match="Input 'words' takes strings; its examples are float64"):
        export(model, tmp_path / "out", FILES, representative_data=np.ones((3, 3)))


@pytest.mark.only_on("tensorflow", reason="the others have no strings")
def test_what_litert_cannot_do_with_strings_is_named(tmp_path):
    words = np.array([["a", "b", "c"]])
    options = {"quantize": "int8", "representative_data": words}
    with pytest.raises(ExportError, match="'words' takes strings.*take quantize=\"dynamic\""):
        export(of_strings(layers.StringLookup(vocabulary=["a"])), tmp_path, "litert", **options)
    with pytest.raises(ExportError, match="LiteRT .* has no StringToHashBucketFast. Build the"):
        export(of_strings(layers.Hashing(9)), tmp_path, "litert")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_not_for_litert(tmp_path, policy):
    dense = layers.Dense(3, dtype=policy, name="halved")
    model = keras.Sequential([keras.Input((4,)), dense])
    with pytest.raises(ExportError, match="'halved' computes in b?float16.*float32"):
        export(model, tmp_path / "out", "litert")
    assert not list(tmp_path.iterdir())


@pytest.mark.only_on("tensorflow", reason="on JAX a layer's seed is refused before its loop is")
def test_recurrent_loops_are_named(tmp_path):
    for unroll in (True, False):
        model = keras.Sequential([keras.Input((5, 4)), layers.GRU(3, unroll=unroll)])
        if unroll:
            export(model, tmp_path / "unrolled", "litert")
            continue
        with pytest.raises(ExportError, match="recurrent layer .* unroll=True"):
            export(model, tmp_path / "out", "litert")


def test_a_link_to_an_export_stays_one(tmp_path):
    (tmp_path / "releases").mkdir()
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "releases" / "1")
    for _ in range(2):
        export(pruned(), link, "litert")
    assert link.is_symlink() and (tmp_path / "releases" / "1" / "model.tflite").is_file()
    assert {path.name for path in tmp_path.rglob("*tmp*")} == set()


def test_a_failed_write_leaves_the_former_export(tmp_path, monkeypatch):
    model = pruned()
    before = export(model, tmp_path / "out", FILES)

    def fails(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(formats, "write_litert_of", fails)
    with pytest.raises(OSError, match="no space left"):
        export(model, tmp_path / "out", FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == before


KILLED = """
import os, signal, sys
import keras
from keras_cascade.deploy import export, formats
formats.write_litert_of = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
export(model, sys.argv[1], ["saved_model", "litert"])
"""


@pytest.mark.slow
def test_a_killed_export_leaves_the_former_one(tmp_path):
    before = export(pruned(), tmp_path / "out", FILES)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "out")]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == before
    for name in before["files"]:
        assert (tmp_path / "out" / name).is_file()


def test_what_only_masks_is_refused(tmp_path):
    model = networks.small_convnet()
    cascade = kc.CascadeDistiller(model, (0.3,), min_channels=1)
    cascade.set_masks(-1, {"stem": np.arange(6) < 3})
    masked = kc.masked_view(model, cascade.masks())
    nested = keras.Sequential([keras.Input(model.input_shape[1:]), masked])
    for wrong, message in (
        (cascade, r"is a CascadeDistiller.*cascade.extract\(\)"),
        (cascade._members["student"], "only masks channels.*Extract the smaller model"),
        (masked, "only masks channels.*Extract the smaller model"),
        (nested, "only masks channels.*Extract the smaller model"),
        ("model.keras", "Expected a keras.Model, got str"),
        (keras.Sequential([layers.Dense(3)]), "built Functional or Sequential"),
    ):
        with pytest.raises(TypeError, match=message):
            export(wrong, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"formats": ["tflite"]},
            "formats must be some of saved_model, litert, onnx, got 'tflite'",
        ),
        ({"formats": []}, "formats must be some of"),
        (
            {"quantize": "int4"},
            "quantize must be None or one of float16, dynamic, int8, got 'int4'",
        ),
        ({"quantize": "int8"}, 'quantize="int8" needs representative_data'),
        ({"quantize": "float16", "formats": ["saved_model"]}, 'add "litert" to formats'),
        ({"min_agreement": 90}, "min_agreement is a share, from 0 to 1; got 90"),
        ({"representative_data": np.ones((3, 8, 8, 1))}, r"shapes .*\(3, 8, 8, 1\).*8, 8, 2"),
        ({"representative_data": np.ones((0, 8, 8, 2))}, "shapes"),
        ({"representative_data": []}, "shapes"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export(pruned(), tmp_path / "out", **{"formats": ["litert"], **options})
    assert not list(tmp_path.iterdir())


def test_other_things_are_not_replaced(tmp_path):
    kept = tmp_path / "out" / "thesis.txt"
    kept.parent.mkdir()
    kept.write_text("years of work")
    with pytest.raises(ValueError, match="holds something else than an export"):
        export(pruned(), tmp_path / "out", FILES)
    with pytest.raises(ValueError, match="holds something else than an export"):
        export(pruned(), kept, FILES)
    assert kept.read_text() == "years of work"
    before = export(pruned(), tmp_path / "export", "litert")
    for name, content in (("labels.txt", "cat"), ("manifest.json", '{"name": "my web app"}')):
        kept = tmp_path / name.partition(".")[0] / name
        kept.parent.mkdir()
        kept.write_text(content)
        if name == "labels.txt":  # beside a real export
            (kept.parent / "manifest.json").write_text(json.dumps(before))
        with pytest.raises(ValueError, match="holds something else than an export"):
            export(pruned(), kept.parent, FILES)
        assert kept.read_text() == content


@pytest.mark.only_on("tensorflow", reason="JAX exports no convolution over an open size")
def test_an_open_input_size_needs_examples(tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs)))
    with pytest.raises(ValueError, match="open shape.*representative_data"):
        export(model, tmp_path / "out", FILES)
    manifest = export(
        model, tmp_path / "out", FILES, representative_data=np.ones((3, 9, 9, 3), "float32")
    )
    assert manifest["macs"] is None


def test_the_manifest_says_how_the_model_was_pruned(tmp_path):
    model = networks.small_convnet()
    cascade = kc.CascadeDistiller(model, (0.3, 0.5), min_channels=1)
    cascade.update_masks()
    record = cascade.pruning_record()
    export(cascade.extract(), tmp_path / "out", "litert", pruning=record)
    stored = json.loads((tmp_path / "out" / "manifest.json").read_text())["pruning"]
    assert stored["levels"] == [0.3, 0.5] and stored["level"] == "student"
    again = cascade.graph.masks_from_json(json.dumps(stored["masks"]))
    for name, mask in cascade.masks().items():
        np.testing.assert_array_equal(again[name], mask)
    model.layers[1].kernel.assign_add(model.layers[1].kernel)
    changed = kc.pruning_record(cascade.graph, again)["parent"]
    assert stored["parent"]["params"] == changed["params"] == model.count_params()
    assert stored["parent"]["sha256"] != changed["sha256"]
