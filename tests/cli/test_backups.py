"""A script goes on with its own unfinished run, and refuses one of other flags."""

import pytest

from keras_cascade.cli.backups import backups_of_run


def test_an_unfinished_run_is_gone_on_with_under_the_same_flags_only(tmp_path, capsys):
    def backups(resume=True, **flags):
        return backups_of_run(tmp_path / "backup", flags, every=10, resume=resume)

    assert not backups(epochs=3, data_dir="here").resumed
    state = tmp_path / "backup" / "cascade" / "epoch_00001_batch_0000000_0.npz"
    state.parent.mkdir()
    state.touch()
    assert capsys.readouterr().out == ""
    assert backups(epochs=3, data_dir="there").resumed
    assert "Going on with the run in" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"other flags: --epochs=4 \(was 3\)\. .*--noresume"):
        backups(epochs=4)
    assert state.exists()
    assert not backups(resume=False, epochs=4).resumed
    assert not state.exists()
