"""What a command needs at its end is asked for at its beginning."""

import importlib.util

import pytest

from keras_cascade.cli import extras


def test_what_is_missing_is_named_with_its_extra(monkeypatch):
    there = {"matplotlib"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: object() if name in there else None
    )
    extras.require("matplotlib")
    with pytest.raises(ImportError, match=r"needs ai_edge_litert: pip .*keras_cascade\[litert\]'$"):
        extras.require("ai_edge_litert", "matplotlib")
    there.clear()
    with pytest.raises(ImportError, match=r"ai_edge_litert.*matplotlib.*\[litert,report\]'$"):
        extras.require("ai_edge_litert", "matplotlib")
