"""keras-cascade: each command does what the library does, and says in one line what is wrong."""

import json
import zipfile

import command_lines
import keras
import networks
import numpy as np
import pytest
from html_text import Page

import keras_cascade as kc
from keras_cascade.cli import commands

pytestmark = pytest.mark.only_on("tensorflow", reason="the command line exports by TensorFlow")


@pytest.fixture
def model_file(tmp_path):
    networks.small_convnet().save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def assert_one_line(outcome, *pieces):
    code, _, errors = outcome
    assert code == 2 and len(errors.splitlines()) == 1, errors
    for piece in pieces:
        assert piece in errors, errors


def test_the_overview_names_every_command(capsys):
    for arguments, code in (([], 2), (["--help"], 0)):
        with pytest.raises(SystemExit) as stopped:
            commands.run(["keras-cascade", *arguments])
        assert stopped.value.code == code
        shown = capsys.readouterr().out
        assert all(f"  {name} " in shown for name in commands.COMMANDS)
    with pytest.raises(SystemExit) as stopped:
        commands.run(["keras-cascade", "prun"])
    errors = capsys.readouterr().err
    assert stopped.value.code == 2 and len(errors.splitlines()) == 1
    assert "unknown command 'prun'. Did you mean 'prune'?" in errors


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n == "prune" else pytest.mark.slow) for n in commands.COMMANDS],
)
def test_help_has_an_example_and_the_flags(name):
    result = command_lines.run_console_script(name, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"\nkeras-cascade {name} " in result.stdout  # the example
    assert "\n  --" in result.stdout


@pytest.mark.slow
def test_inspect_shows_groups_and_costs(model_file):
    (outcome,) = command_lines.run("inspect", [model_file])
    code, shown, errors = outcome
    assert (code, errors) == (0, "")
    model = keras.saving.load_model(model_file)
    graph = kc.ChannelGraph(model)
    assert graph.summary() in shown
    assert f"{graph.params():,}" in shown and f"{graph.macs():,}" in shown


def test_layer_costs_add_up():
    for name in ("resnet20", "MobileNetV2"):
        graph = kc.ChannelGraph(networks.build(name))
        costs = graph.layer_costs()
        assert sum(params for params, _ in costs.values()) == graph.params()
        assert sum(macs for _, macs in costs.values()) == graph.macs()


def test_prune_and_export(model_file, tmp_path):
    small, out = tmp_path / "small.keras", tmp_path / "out"
    flags = ["--amount=0.4", "--budget=params", "--min_channels=2"]
    (pruned,) = command_lines.run("prune", [model_file, *flags, f"--output={small}"])
    assert (pruned[0], pruned[2]) == (0, "")
    model = keras.saving.load_model(model_file)
    expected = kc.prune(model, 0.4, budget="params", min_channels=2)
    found = keras.saving.load_model(small)
    x, _ = networks.examples_for(model, 5)
    np.testing.assert_allclose(found(x), expected(x), atol=1e-6)
    np.save(tmp_path / "x.npy", x)
    given = [small, "--formats=litert", f"--output_dir={out}"]
    outcomes = command_lines.run(
        "export",
        [*given, f"--representative_data={tmp_path / 'x.npy'}"],
        [*given, "--quantize=int8"],
        [*given, "--quantize=int4"],
        [*given, "--formats=tflite"],
        [*given, f"--representative_data={small}"],
        [*given, f"--representative_data={tmp_path / 'absent.npy'}"],
        [small, "--formats=litert", f"--output_dir={tmp_path}"],
    )
    assert (outcomes[0][0], outcomes[0][2]) == (0, "")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["examples"] == "given" and manifest["params"] == found.count_params()
    assert manifest["pruning"]["amount"] == 0.4
    assert manifest["pruning"]["parent"]["params"] == model.count_params()
    messages = (
        'int8" needs representative_data',
        "--quantize=int4",
        "formats must be some of",
        "is damaged, or no .npy file",
        "absent.npy",
        "holds something else than an export",
    )
    for outcome, message in zip(outcomes[1:], messages, strict=True):
        assert_one_line(outcome, "keras-cascade export: ", message)
    assert json.loads((out / "manifest.json").read_text()) == manifest


@pytest.mark.slow
def test_prune_by_latency(model_file, tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert", reason="running .tflite needs ai-edge-litert")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    small = tmp_path / "small.keras"
    output = f"--output={small}"
    pruned, too_slow = command_lines.run(
        "prune",
        [model_file, "--budget=latency", "--amount=0.2", output],
        [model_file, "--milliseconds=1000", output],
    )
    assert (pruned[0], pruned[2]) == (0, "")
    record = json.loads((tmp_path / "small.pruning.json").read_text())
    assert (record["budget"], record["amount"]) == ("latency", 0.2)
    assert (
        kc.profile(keras.saving.load_model(small)).macs < kc.profile(networks.small_convnet()).macs
    )
    assert_one_line(too_slow, "milliseconds must lie", "what the whole model takes")


def test_user_errors_are_one_line(model_file, tmp_path):
    torn, code = tmp_path / "torn.keras", tmp_path / "code.keras"
    torn.write_bytes(model_file.read_bytes()[:2000])
    inputs = keras.Input((4,))
    x = keras.layers.Dense(6)(keras.layers.Dense(8)(inputs))
    x = keras.layers.Lambda(lambda value: value + 1.0)(x)
    keras.Model(inputs, keras.layers.Dense(2)(x)).save(code)
    output = f"--output={tmp_path / 'small.keras'}"
    cases = [
        ([tmp_path / "absent.keras", output], "There is no file"),
        ([torn, output], "torn.keras' is damaged, or no .keras file"),
        ([code, output], "holds Python code", "--allow_unsafe"),
        ([model_file], "--output"),
        ([output], "Say MODEL.keras; see --help."),
        ([model_file, "second", output], "Unexpected argument 'second'"),
        ([model_file, output, "--amount=2"], "amount"),
        ([model_file, output, "--amount=much"], "--amount=much"),
        ([model_file, output, "--amont=0.5"], "amont", "amount", "See --help."),
        ([model_file, output, "--keep=nothing"], "nothing"),
        ([model_file, "--output=small.h5"], "must end in .keras"),
        ([model_file, "--output=/proc/nowhere/small.keras"], "Cannot write to the output folder"),
    ]
    outcomes = command_lines.run("prune", *(arguments for arguments, *_ in cases))
    for outcome, (_, *messages) in zip(outcomes, cases, strict=True):
        assert_one_line(outcome, "keras-cascade prune: ", *messages)
    assert not (tmp_path / "small.keras").exists()
    (trusted,) = command_lines.run("prune", [code, output, "--allow_unsafe", "--amount=0.3"])
    assert trusted[0] == 0, trusted


@pytest.mark.slow
def test_profile_of_several_models(model_file):
    pytest.importorskip("ai_edge_litert", reason="running .tflite needs ai-edge-litert")
    (outcome,) = command_lines.run("profile", [model_file, model_file, "--latency", "--runs=2"])
    code, shown, errors = outcome
    assert (code, errors) == (0, "")
    assert "median ms" in shown
    params = kc.profile(keras.saving.load_model(model_file)).params
    assert shown.count(f"{params:,}") >= 2


@pytest.mark.slow
def test_a_model_file_writes_nothing_outside(model_file, tmp_path):
    """An archive whose members point elsewhere is read by their names only."""
    with zipfile.ZipFile(model_file, "a") as archive:
        archive.writestr("../evil.txt", "written")
    (outcome,) = command_lines.run("profile", [model_file])
    assert outcome[0] in (0, 2)
    assert not (tmp_path.parent / "evil.txt").exists()
    assert not (tmp_path / "evil.txt").exists()


@pytest.mark.slow
def test_train_goes_on_from_a_model_with_images_of_ones_own(model_file, tmp_path):
    random = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 48), ("test", 16)):
        arrays[f"x_{split}"] = random.integers(0, 256, (count, 8, 8, 2), "uint8")
        arrays[f"y_{split}"] = np.arange(count) % 4
    np.savez(tmp_path / "images.npz", **arrays)
    flags = ["--epochs=2", "--recover_epochs=1", "--levels=0.3,0.6", "--min_channels=1"]
    given = [f"--dataset={tmp_path / 'images.npz'}", "--batch_size=16", "--freeze_teacher", *flags]
    logs = tmp_path / "logs"
    (outcome, wrong) = command_lines.run(
        "train",
        [model_file, *given, f"--log_dir={logs}", f"--output_dir={tmp_path / 'run'}"],
        [model_file, "--dataset=digits", f"--output_dir={tmp_path / 'other'}"],
    )
    assert (outcome[0], outcome[2]) == (0, ""), outcome
    assert "teacher, epoch" not in outcome[1] and "recovery, epoch 1/1" in outcome[1]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    rows = {row["name"]: row for row in results["rows"]}
    assert rows["student"]["macs"] < 0.5 * rows["original"]["macs"]
    assert results["configuration"]["teacher"] == str(model_file) and not results["resumed"]
    assert results["command"].startswith(f"keras-cascade train {model_file} --dataset=")
    assert results["command"].endswith(f"--output_dir={tmp_path / 'run'}")
    levels = {level["name"]: level for level in results["cascade"]["levels"]}
    assert {name: levels[name]["params"] for name in levels} == {
        name: rows[name]["params"] for name in ("teacher", "ta1", "student")
    }
    assert rows["teacher"]["accuracy"] == rows["original"]["accuracy"]  # it was frozen
    assert "teacher_loss" not in results["history"]
    page = Page((tmp_path / "run" / "report.html").read_text())
    assert results["command"] in "".join(page.text)
    assert f"{rows['student']['macs']:,}" in str(dict(page.tables)["Models"])
    assert len(list((tmp_path / "logs").glob("events.out.tfevents.*"))) == 1
    manifest = json.loads((tmp_path / "run" / "student" / "manifest.json").read_text())
    assert manifest["pruning"]["freeze_teacher"] is True
    assert manifest["pruning"]["level"] == "student" and manifest["examples"] == "given"
    assert_one_line(wrong, "maps (8, 8, 2) to (4,); digits has images (8, 8, 1) and 10 classes")
