"""The script that decodes data sets, as its user runs it."""

import pathlib

import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets")

import local_images  # noqa: E402
import running  # noqa: E402

SCRIPT = pathlib.Path(__file__).parents[2] / "experiments" / "decode.py"


@pytest.mark.slow
def test_data_sets_are_written_and_errors_are_one_line(tmp_path):
    local_images.KcThumbnails(data_dir=tmp_path).download_and_prepare()
    common = [f"--data_dir={tmp_path}", f"--output_dir={tmp_path / 'out'}"]
    result = running.run(SCRIPT, "--datasets=kc_thumbnails", *common)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    path = tmp_path / "out" / "kc_thumbnails.npz"
    assert result.stdout.splitlines() == [str(path)]
    with np.load(path) as found:
        assert found["x_train"].shape == (50, 24, 16, 3)
    cases = [
        (["--datasets=digits"], "'digits' is no name of TensorFlow Datasets"),
        (["--datasets=kc_nothing"], "Unknown data set 'kc_nothing'"),
        ([], "Flag --datasets must have a value"),
    ]
    running.assert_user_errors(SCRIPT, common, cases)
