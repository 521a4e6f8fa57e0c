"""StageBackups: a training is gone on with under its own configuration, or begun anew."""

from keras_cascade.recipe import StageBackups


def test_what_changed_is_told_and_beginning_anew_deletes_the_states(tmp_path):
    def backups(**configuration):
        return StageBackups(tmp_path / "backup", configuration, every=10)

    first = backups(epochs=3, levels=(0.5,))
    assert not first.resumed and first.changed() == {}
    first.begin()
    state = tmp_path / "backup" / "one_stage" / "epoch_00001_batch_0000000_0.npz"
    state.parent.mkdir()
    state.touch()
    again = backups(epochs=3, levels=(0.5,))
    assert again.resumed and again.changed() == {}
    other = backups(epochs=4, levels=(0.5,), seed=1)
    assert other.changed() == {"epochs": (4, 3), "seed": (1, None)}
    other.begin()
    assert not other.resumed and not state.exists()
    other.delete()
    assert not any(tmp_path.iterdir())
