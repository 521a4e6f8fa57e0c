"""Model files that are hostile or cannot be written: one error, and nothing half there."""

import errno
import zipfile

import keras
import networks
import pytest
from absl import flags
from keras.src.saving import saving_lib

import keras_cascade as kc
from keras_cascade.cli import files, user_errors

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def model_file(tmp_path):
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])
    networks.small_convnet().save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


@pytest.mark.skipif(
    not hasattr(saving_lib, "_ZIP_MEMBER_BOMB_FLOOR_BYTES"),
    reason="this Keras has no guard against archives that grow",
)
def test_a_bomb_is_not_unpacked(model_file, monkeypatch):
    """Keras refuses members that grow out of proportion, from 4 GiB on; here from a megabyte on."""
    monkeypatch.setattr(saving_lib, "_ZIP_MEMBER_BOMB_FLOOR_BYTES", 1 << 20)
    bomb = model_file.with_name("bomb.keras")
    with zipfile.ZipFile(model_file) as whole, zipfile.ZipFile(bomb, "w", 8) as packed:
        for name in whole.namelist():
            grown = bytes(1 << 25) if name.endswith(".h5") else whole.read(name)
            packed.writestr(name, grown)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(ValueError, match="bomb.keras' cannot be loaded: .*bomb"):
        files.load_model(str(bomb))


def test_other_kinds_of_files_are_named(model_file):
    other = model_file.with_suffix(".tflite")
    other.write_bytes(model_file.read_bytes())
    with pytest.raises(ValueError, match="model.tflite' is damaged, or no .keras file; save"):
        files.load_model(str(other))


@pytest.mark.parametrize("fails", ["write_keras", "write_json"])
def test_a_full_disk_leaves_neither_model_nor_record(fails, model_file, tmp_path, monkeypatch):
    def full(*_):
        raise FULL

    model = keras.saving.load_model(model_file)
    monkeypatch.setattr(files, fails, full)
    with pytest.raises(OSError, match="No space left"):
        files.write_pruned(model, tmp_path / "small.keras", {"amount": 0.5})
    assert list(tmp_path.iterdir()) == [model_file]


def test_a_full_disk_is_one_line_with_a_way_out(capsys):
    with pytest.raises(SystemExit) as stopped:
        user_errors._exit("keras-cascade prune", FULL)
    shown = capsys.readouterr().err
    assert stopped.value.code == 2
    assert shown == (
        "keras-cascade prune: [Errno 28] No space left on device. Free some space there, or "
        "write to another disk.\n"
    )


def test_a_folder_in_the_place_of_the_model_leaves_the_record(model_file, tmp_path):
    model, path = keras.saving.load_model(model_file), tmp_path / "folder.keras"
    path.mkdir()
    record = files.record_path(path)
    record.write_text("{}")
    with pytest.raises(ValueError, match="folder.keras is a folder"):
        files.output_path(path)
    with pytest.raises(IsADirectoryError, match="folder where a file"):
        files.write_pruned(model, path, {"amount": 0.9})
    assert record.read_text() == "{}" and not list(path.iterdir())


@pytest.mark.parametrize("fails", ["write_keras", "write_json"])
def test_a_full_disk_leaves_a_former_model_and_its_record(fails, model_file, tmp_path, monkeypatch):
    path, model = tmp_path / "small.keras", keras.saving.load_model(model_file)
    files.write_pruned(model, path, {"amount": 0.5})
    before = path.read_bytes()

    def full(*_):
        raise FULL

    monkeypatch.setattr(files, fails, full)
    with pytest.raises(OSError, match="No space left"):
        files.write_pruned(model, path, {"amount": 0.9})
    assert path.read_bytes() == before and files.read_record(path) == {"amount": 0.5}
    assert {each.name for each in tmp_path.iterdir()} == {
        "model.keras", "small.keras", "small.pruning.json"
    }  # fmt: skip


@pytest.mark.only_on("tensorflow", "jax", reason="Keras on PyTorch writes no SavedModel")
def test_an_export_to_a_full_disk_is_an_os_error(tmp_path, monkeypatch):
    import tensorflow as tf

    def full(self, path, **_):
        (path / "variables").mkdir(parents=True)
        raise tf.errors.ResourceExhaustedError(None, None, f"{path}; No space left on device")

    monkeypatch.setattr(keras.Model, "export", full)
    with pytest.raises(OSError, match="No space left") as raised:
        kc.export(networks.small_convnet(), tmp_path / "out", ["saved_model"])
    assert raised.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())
