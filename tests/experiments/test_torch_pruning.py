"""The outside baseline: networks as ours, pruned to the amount, resumable, without Keras."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from keras_cascade import profile
from keras_cascade.data import preprocessing
from keras_cascade.models import build_model
from keras_cascade.recipe import Settings

torch = pytest.importorskip("torch", reason="the outside baseline runs on PyTorch")
EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"
needs_library = pytest.mark.skipif(
    importlib.util.find_spec("torch_pruning") is None,
    reason="Torch-Pruning is not installed (pip install torch-pruning)",
)
FLAGS = ("--width=0.125", "--teacher_epochs=2", "--sparse_epochs=2", "--fine_tune_epochs=1")
FLAGS += ("--batch_size=16", "--amounts=0.5", "--seeds=3", "--device=cpu")

# (network, width, image shape): params, MACs; what kc.profile says of our networks, which
# test_networks_are_ours proves where Keras is at hand.
SIZES = {
    ("vgg16", 0.25, (16, 16, 3)): (942138, 4994304),
    ("vgg16", 0.1, (8, 8, 1)): (151803, 252690),
    ("resnet20", 0.25, (16, 16, 3)): (17926, 658592),
    ("resnet56", 0.1, (32, 32, 3)): (12190, 3800380),
}


def experiment_module(name):
    path = EXPERIMENTS / f"{name}.py"
    specification = importlib.util.spec_from_file_location(f"experiments_{name}", path)
    module = sys.modules[specification.name] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def networks():
    return experiment_module("torch_networks")


@pytest.fixture(scope="module")
def training():
    return experiment_module("torch_training")


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """An .npz file of noise on which classes differ in brightness."""
    random = np.random.default_rng(7)
    path = tmp_path_factory.mktemp("arrays") / "cifar10.npz"
    content = {}
    for part, count in (("train", 72), ("test", 24)):
        labels = np.arange(count) % 3
        noise = random.integers(0, 100, (count, 8, 8, 3))
        content[f"x_{part}"] = (noise + 70 * labels[:, None, None, None]).astype("uint8")
        content[f"y_{part}"] = labels
    np.savez(path, **content)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A function that runs the script where Keras, TensorFlow and torchvision do not import."""
    forbidden = tmp_path_factory.mktemp("forbidden")
    for package in ("keras", "tensorflow", "torchvision"):
        (forbidden / f"{package}.py").write_text(f"raise ImportError('{package} was imported')\n")

    def run_script(*flags):
        return subprocess.run(
            [sys.executable, str(EXPERIMENTS / "torch_pruning.py"), *map(str, flags)],
            capture_output=True,
            text=True,
            timeout=400,
            env={**os.environ, "PYTHONPATH": str(forbidden), "OMP_NUM_THREADS": "1"},
        )

    return run_script


@pytest.fixture(scope="module")
def first_run(run, arrays, tmp_path_factory):
    """A finished run: its output file and the lines it printed."""
    output = tmp_path_factory.mktemp("results") / "torch_pruning.jsonl"
    done = run(f"--data={arrays}", f"--output={output}", *FLAGS)
    assert done.returncode == 0, done.stderr
    return output, done.stdout.splitlines()


def rows_of(output):
    return [json.loads(line) for line in output.read_text().splitlines()]


@pytest.mark.parametrize(("name", "width", "shape"), list(SIZES))
def test_networks_are_ours(networks, name, width, shape):
    theirs = networks.NETWORKS[name](shape, 10, width)
    ours = profile(build_model(name, shape, 10, width=width, seed=0))
    trainable = sum(weight.numel() for weight in theirs.parameters())
    counted = (networks.count_params(theirs), networks.count_macs(theirs, shape))
    assert counted == SIZES[name, width, shape] == (ours.params, ours.macs)
    assert trainable == ours.trainable_params


def test_images_are_prepared_as_ours(training, arrays):
    images = training.read_images(arrays, torch.device("cpu"), max_train_examples=30)
    with np.load(arrays) as stored:
        whole = stored["x_train"]
    assert (images.name, images.shape, images.classes) == ("cifar10", (8, 8, 3), 3)
    np.testing.assert_array_equal(images.train, whole[:30])
    ours = preprocessing.standardize(whole[:30], preprocessing.recipe_for("cifar10"), np.uint8)
    theirs = training.standardize(images.train, images.recipe).permute(0, 2, 3, 1)
    np.testing.assert_allclose(theirs, ours, atol=1e-6)

    resized = training.read_images(arrays, torch.device("cpu"), image_size=5).train
    difference = resized.numpy().astype(int) - np.asarray(preprocessing.resize(whole, 5))
    assert np.abs(difference).max() <= 1  # halves may round either way
    assert np.mean(difference != 0) < 0.01


def test_augmented_images_are_crops_and_mirrored_crops(training):
    image = torch.arange(1, 8 * 8 * 3 + 1, dtype=torch.uint8).reshape(1, 8, 8, 3)
    padded = torch.zeros(10, 10, 3, dtype=torch.uint8)
    padded[1:9, 1:9] = image[0]
    crops = {}
    for top in range(3):
        for left in range(3):
            crop = padded[top : top + 8, left : left + 8]
            crops[crop.numpy().tobytes()] = (top, left, False)
            crops[crop.flip(1).numpy().tobytes()] = (top, left, True)
    generator = torch.Generator().manual_seed(7)
    batch = training.pad_crop_flip(image.expand(400, -1, -1, -1), generator, flip=True)
    assert {crops[one.numpy().tobytes()] for one in batch} == set(crops.values())
    batch = training.pad_crop_flip(image.expand(200, -1, -1, -1), generator, flip=False)
    assert not any(crops[one.numpy().tobytes()][2] for one in batch)


def test_only_kernels_decay(training, networks):
    network = networks.resnet20((8, 8, 3), 3, 0.25)
    stage = training.Stage("teacher", 1, 0.1, 16, weight_decay=0.5, seed=0)
    optimizer = training._optimizer(network, stage)
    decayed = set(optimizer.param_groups[0]["params"])
    assert all((weight.ndim > 1) == (weight in decayed) for weight in network.parameters())
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0]


def test_the_rate_is_that_of_our_recipe(training, networks, arrays, monkeypatch):
    images = training.read_images(arrays, torch.device("cpu"), max_train_examples=64)
    network = networks.vgg16(images.shape, images.classes, 0.1)
    optimizers, rates, make = [], [], training._optimizer
    monkeypatch.setattr(
        training,
        "_optimizer",
        lambda *arguments: optimizers.append(make(*arguments)) or optimizers[-1],
    )
    stage = training.Stage("teacher", 2, 0.1, 32, weight_decay=0.0, seed=0)
    training.train(
        network,
        images,
        stage,
        regularize=lambda: rates.append([group["lr"] for group in optimizers[0].param_groups]),
    )
    ours = Settings().make_optimizer(0.1, steps=4)
    expected = [float(ours._learning_rate(step)) for step in range(4)]
    np.testing.assert_allclose(rates, np.transpose([expected, expected]), rtol=1e-6)


def test_a_stage_goes_on_to_the_same_weights(training, networks, arrays, tmp_path):
    images = training.read_images(arrays, torch.device("cpu"), max_train_examples=32)
    stage = training.Stage("teacher", 3, 0.05, 16, weight_decay=5e-4, seed=0)

    def trained(state_file, regularize=None):
        torch.manual_seed(7)
        network = networks.vgg16(images.shape, images.classes, 0.1)
        history = training.train(network, images, stage, regularize, state_file, {"seed": 0})
        return network.state_dict(), history

    whole, whole_history = trained(None)
    steps = iter(range(3))  # the third step ends the run, in the middle of its second epoch
    with pytest.raises(StopIteration):
        trained(tmp_path / "state.pt", lambda: next(steps))
        trained(tmp_path / "state.pt", lambda: next(steps))
    resumed, history = trained(tmp_path / "state.pt")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    compared = [
        [(row["epoch"], row["loss"], row["accuracy"]) for row in one]
        for one in (whole_history, history)
    ]
    assert compared[0] == compared[1] and len(history) == 3


@needs_library
def test_the_amount_is_removed_at_the_agreed_steps(first_run):
    output, printed = first_run
    (row,) = rows_of(output)
    removed = 1 - row["tp_macs"] / row["teacher_tp_macs"]
    assert 0.5 <= removed <= 0.52
    assert row["macs"] < row["teacher_macs"] and row["nonzero_params"] == row["params"]
    assert row["params"] < row["teacher_params"]
    assert row["steps"] == 3 * 5  # epochs after the teacher, times batches of 16 of 72 images
    stages = [(epoch["stage"], epoch["epoch"]) for epoch in row["epochs"]]
    assert stages == [
        *(("teacher", 1), ("teacher", 2)),
        *(("sparse", 1), ("sparse", 2)),
        ("fine_tune", 1),
    ]
    assert (row["model"], row["dataset"], row["seed"]) == ("vgg16@0.125", "cifar10", 3)
    assert all(0 <= row[name] <= 1 for name in ("accuracy", "teacher_accuracy"))
    assert "2 epochs of sparse learning and 1 of fine-tuning, 3 in all" in printed[0]
    assert f"{row['params']:,}" in printed[-1]
    assert sorted(path.name for path in output.with_suffix("").iterdir()) == [
        "vgg16@0.125_cifar10_3_sparse.pt",
        "vgg16@0.125_cifar10_3_teacher.pt",
    ]


@needs_library
def test_a_second_run_takes_up_what_is_there(first_run, run, arrays, tmp_path):
    first, _ = first_run
    output = tmp_path / first.name
    line = first.read_text()
    output.write_text(line + line[: len(line) // 2])  # as a run leaves it that is killed in writing
    output.with_suffix("").symlink_to(first.with_suffix(""))
    flags = (f"--data={arrays}", f"--output={output}", *FLAGS, "--amounts=0.5,0.3")
    done = run(*flags)
    assert done.returncode == 0, done.stderr
    assert "line 2 is damaged and is skipped" in done.stderr
    assert "vgg16@0.125 0.5 seed 3: finished already" in done.stdout
    assert "teacher:" not in done.stdout and "sparse:" not in done.stdout
    whole, torn, added, end = output.read_text().split("\n")
    assert whole + "\n" == line and torn == line[: len(line) // 2] and end == ""
    old, new = json.loads(whole), json.loads(added)
    assert new["amount"] == 0.3 and new["params"] > old["params"]
    same = ("teacher_accuracy", "sparse_accuracy", "settings")
    assert [new[name] for name in same] == [old[name] for name in same]


@needs_library
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--amounts=0.5,1.5"], "--amounts must lie in (0, 1), as fractions of the MACs: 1.5."),
        (["--seeds=zero"], "--seeds must be numbers"),
        (["--data=absent.npz"], "There is no file 'absent.npz'"),
        (["--max_train_examples=65"], "The last batch of 65 images would be one image"),
        (["--sparse_epochs=3"], "with other settings (epochs 3 there, 4 here; sparse_epochs 2"),
        (["--preset=other", "--learning_rate=1"], "learning_rate 0.05 there, 1.0 here"),
        pytest.param(["--amounts=0.9999"], "Torch-Pruning removes", marks=pytest.mark.slow),
        (["--device=cuda:99"], "--device=cuda:99 cannot be used here"),
        (["--colour=red"], "Unknown command line flag 'colour'"),
        (["stray"], "Unexpected argument 'stray'"),
    ],
)
def test_user_errors_are_one_line(first_run, run, arrays, flags, message):
    output, _ = first_run
    done = run(f"--data={arrays}", f"--output={output}", *FLAGS, *flags)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("torch_pruning: ")


@needs_library
def test_help_has_the_example(run):
    done = run("--help")
    assert "python experiments/torch_pruning.py --data=cifar10.npz" in done.stdout
    assert "--sparse_epochs" in done.stdout
