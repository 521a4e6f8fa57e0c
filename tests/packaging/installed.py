"""The wheel and the source distribution in `dist`, installed into empty environments and run there.

Run by `make test-package`, which builds both; `make test` does not collect this file, as it
installs TensorFlow twice, from the network.
"""

import os
import pathlib
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]
PACKAGE_FILES = ("keras_cascade/**/*.py", "keras_cascade/py.typed", "keras_cascade_command.py")

# Images of one's own, so that nothing is missing but what the command itself needs.
MAKE_INPUTS = """
import keras, keras_cascade, keras_cascade_command, numpy as np
print(keras_cascade.__file__, keras_cascade_command.__file__, sep="\\n")
inputs = keras.Input((8, 8, 1))
x = keras.layers.Conv2D(8, 3, activation="relu")(inputs)
x = keras.layers.Conv2D(8, 3, activation="relu")(x)
outputs = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x))
keras.Model(inputs, outputs).save("model.keras")
images, labels = np.zeros((16, 8, 8, 1), "uint8"), np.arange(16) % 4
np.savez("images.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
"""


def only(pattern):
    """The one file of that name in `dist`."""
    (path,) = (REPOSITORY / "dist").glob(pattern)
    return path


def source_files():
    return sorted(path for pattern in PACKAGE_FILES for path in REPOSITORY.glob(pattern))


def test_the_wheel_holds_the_package_and_nothing_else():
    with zipfile.ZipFile(only("*.whl")) as wheel:
        files = {name: wheel.read(name) for name in wheel.namelist()}
    info = next(name for name in files if name.endswith("/METADATA")).removesuffix("/METADATA")
    assert files[f"{info}/licenses/LICENSE"] == (REPOSITORY / "LICENSE").read_bytes()
    own = {name: content for name, content in files.items() if not name.startswith(f"{info}/")}
    assert own == {
        path.relative_to(REPOSITORY).as_posix(): path.read_bytes() for path in source_files()
    }


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="only git knows what it tracks")
def test_the_source_distribution_holds_what_git_tracks():
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    with tarfile.open(only("*.tar.gz")) as archive:
        held = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert set(tracked.stdout.split("\0")) - {""} <= held


@pytest.fixture(scope="module", params=["*.whl", "*.tar.gz"], ids=["wheel", "sdist"])
def run(request, tmp_path_factory):
    """A function that runs a program of a new environment which holds one distribution only.

    It runs in a folder elsewhere, so that what it imports is what is installed.
    """
    root = tmp_path_factory.mktemp("empty")
    venv.create(root / "venv", with_pip=True)
    outside = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def run_program(program, *arguments, check=False):
        result = subprocess.run(
            [root / "venv" / "bin" / program, *map(str, arguments)],
            cwd=root,
            env=outside,
            capture_output=True,
            text=True,
        )
        if check and result.returncode:
            pytest.fail(f"{program} {arguments}: {result.stderr[-3000:]}")
        return result

    pinned = ["--constraint", REPOSITORY / "constraints.txt"]
    install = ["-m", "pip", "install", "--quiet", only(request.param), *pinned]
    run_program("python", *install, check=True)
    run_program("python", "-m", "pip", "check", check=True)
    found = run_program("python", "-c", MAKE_INPUTS, check=True).stdout.splitlines()
    assert all(path.startswith(str(root / "venv" / "lib")) for path in found), found
    run_program.folder = root
    return run_program


def test_what_needs_no_extra_runs(run):
    assert "inspect" in run("keras-cascade", "--help", check=True).stdout
    shown = run("keras-cascade", "inspect", "model.keras", check=True)
    assert "channel groups" in shown.stdout and shown.stderr == ""
    run("keras-cascade", "prune", "model.keras", "--amount=0.3", "--output=small.keras", check=True)
    sizes = run("keras-cascade", "profile", "model.keras", "small.keras", check=True).stdout
    assert "model.keras" in sizes and "small.keras" in sizes
    run(
        "keras-cascade", "export", "small.keras", "--formats=saved_model", "--output_dir=saved",
        check=True,
    )  # fmt: skip
    assert (run.folder / "saved" / "manifest.json").is_file()


def test_a_type_checker_sees_the_annotations(run, tmp_path):
    client = tmp_path / "client.py"
    client.write_text(
        "import keras_cascade as kc\n"
        "masks: dict[str, int] = kc.prune_masks(None, 0.5)\n"
        "kc.prune(None, 0.5, scope='bytes')\n"
        "kc.export(None, 'out', ['litert'], quantize='int8')\n"
    )
    interpreter = run.folder / "venv" / "bin" / "python"
    # As it is from elsewhere: without this repository's settings, and with nothing of its folder.
    command = ["-m", "mypy", "--config-file=", "--python-executable", interpreter, client]
    shown = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True
    ).stdout
    ours = [
        line for line in shown.splitlines() if line.startswith("client.py:") and "error" in line
    ]
    assert [line.split(":")[1] for line in ours] == ["2", "3"], shown


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("profile model.keras --latency", "litert"),
        ("export model.keras --output_dir=out", "onnx"),
        ("export model.keras --output_dir=out --formats=litert", "litert"),
        ("train model.keras --dataset=images.npz --output_dir=out", "litert,report"),
        ("train --dataset=digits --output_dir=out", "litert,report"),
        ("compare --datasets=./images.npz --output_dir=out", "litert,report"),
    ],
)
def test_a_missing_extra_is_named_before_anything_is_written(run, command, extra):
    result = run("keras-cascade", *command.split())
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert f"pip install 'keras_cascade[{extra}]'" in result.stderr
    assert not (run.folder / "out").exists()


@pytest.mark.parametrize(
    ("function", "extra"),
    [
        ("data.load('digits', batch_size=8)", "datasets"),
        ("data.load('cifar10', batch_size=8)", "datasets"),
        ("prune_weights(keras.saving.load_model('model.keras'), 0.5, data=None)", "tfmot"),
        ("report.plot_accuracy_against_macs([], 'plot.png', 'title')", "report"),
        ("deploy.open_interpreter('model.tflite')", "litert"),
    ],
)
def test_functions_name_their_extra_too(run, function, extra):
    imports = "import keras; from keras_cascade import data, deploy, prune_weights, report"
    error = run("python", "-c", f"{imports}; {function}").stderr.splitlines()[-1]
    assert error.startswith("ImportError: ") and f"keras_cascade[{extra}]" in error, error
