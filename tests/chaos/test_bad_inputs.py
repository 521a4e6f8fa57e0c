"""Every wrong input gets the answer that is due."""

import pytest
from chaos import bad_inputs


@pytest.mark.slow
def test_wrong_inputs_get_the_answers_due(tmp_path):
    found = bad_inputs.answers(tmp_path)
    assert len(found) >= 40
    assert [answer for answer in found if not answer["good"]] == []
