"""Experiment: small files that say what is run, one above the other."""

import pathlib

import pytest

from keras_cascade.study import COMMON, Experiment, Variant
from keras_cascade.study.grid import name_and_width

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"
NAMES = sorted(path.stem for path in EXPERIMENTS.glob("*.toml") if path.name != COMMON)

SHARED = """
[settings]
budget = "macs"
alpha = 0.1
[variants.cold]
method = "cascade_0"
temperature = 1.0
[presets.small.grid]
seeds = [0]
[presets.small.settings]
epochs = 2
[presets.large.grid]
seeds = [0, 1]
"""
OWN = """
title = "A title"
question = "A question?"
[grid]
models = ["vgg16"]
datasets = ["digits"]
methods = ["teacher", "cold"]
amounts = [0.5]
[settings]
alpha = 0.3
[presets.small.grid]
models = ["vgg16@0.25"]
[presets.small.settings]
temperature = 3.0
[presets.large]
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / COMMON).write_text(SHARED)
    path = tmp_path / "mine.toml"
    path.write_text(OWN)
    return path


def test_a_preset_stands_above_the_experiment_and_that_above_what_is_shared(path):
    small, large = Experiment.read(path, "small"), Experiment.read(path, "large")
    assert (small.name, small.title, small.results) == ("mine", "A title", "mine_small.jsonl")
    assert (small.grid.models, small.grid.seeds) == (("vgg16@0.25",), (0,))
    assert (large.grid.models, large.grid.seeds) == (("vgg16",), (0, 1))
    for experiment in (small, large):
        settings = experiment.protocol.settings
        assert (settings.budget, settings.alpha) == ("macs", 0.3)
        assert experiment.grid.variant("cold").settings == {"temperature": 1.0}
    assert (small.protocol.settings.epochs, small.protocol.settings.temperature) == (2, 3.0)


def test_teachers_of_another_recipe_lie_apart(path):
    assert Experiment.read(path, "small").teachers == "small"
    path.write_text(OWN.replace("temperature = 3.0", "teacher_epochs = 9"))
    assert Experiment.read(path, "small").teachers == "mine_small"
    assert Experiment.read(path, "large").teachers == "large"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("", ""), "no such preset; there are small, large"),
        (('question = "A question?"', ""), "'question' is missing"),
        (("alpha = 0.3", "alhpa = 0.3"), "Unknown settings alhpa"),
        (('"cold"', '"colder"'), "Unknown method 'colder'"),
        (("[settings]", "[setings]"), "has setings; there may be title"),
        (("alpha = 0.3", "alpha ="), "is no TOML file"),
        (("amounts", "amount"), "amount"),
        (("[presets.small.settings]", "[presets.small.setings]"), "has setings; there may be grid"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(path, change, message):
    path.write_text(OWN.replace(*change))
    with pytest.raises(ValueError, match=f"(?s)mine.toml.*{message}"):
        Experiment.read(path, "tiny" if change == ("", "") else "small")


def test_a_preset_changes_a_variant_and_leaves_the_rest_of_it(path):
    path.write_text(OWN + "\n[presets.small.variants.cold]\nalpha = 0.7\n")
    small, large = (
        Experiment.read(path, preset).grid.variant("cold") for preset in ("small", "large")
    )
    assert small.settings == {"temperature": 1.0, "alpha": 0.7}
    assert large.settings == {"temperature": 1.0}


def test_a_variant_has_what_its_base_has_but_for_the_label(path):
    path.write_text(
        OWN
        + """
[variants.shown]
base = "cold"
label = "cold and shown"
[variants.colder]
base = "shown"
method = "cascade_2"
temperature = 0.5
"""
    )
    variants = Experiment.read(path, "small").grid.variants
    assert variants["shown"] == Variant("cascade_0", {"temperature": 1.0}, "cold and shown")
    assert variants["colder"] == Variant("cascade_2", {"temperature": 0.5})


@pytest.mark.parametrize(
    ("bases", "message"),
    [
        ({"one": "nobody"}, "the base 'nobody' of 'one' is no variant"),
        ({"one": "two", "two": "one"}, "'one' is its own base .one < two < one"),
    ],
)
def test_bases_that_are_not_there_or_go_in_circles_are_named(path, bases, message):
    tables = [f'\n[variants.{name}]\nbase = "{base}"' for name, base in bases.items()]
    path.write_text(OWN + "".join(tables))
    with pytest.raises(ValueError, match=f"(?s)mine.toml.*{message}"):
        Experiment.read(path, "small")


def test_an_experiment_has_what_its_base_has_but_for_the_presets_it_does_not_name(path):
    derived = path.with_name("derived.toml")
    own = """
title = "Another"
question = "And here?"
base = "mine"
[settings]
alpha = 0.5
[presets.small.settings]
epochs = 3
"""
    derived.write_text(own)
    mine, other = Experiment.read(path, "small"), Experiment.read(derived, "small")
    assert (other.title, other.results, other.grid) == ("Another", "derived_small.jsonl", mine.grid)
    assert other.protocol == mine.protocol.changed({"alpha": 0.5, "epochs": 3})
    assert Experiment.presets(derived) == ("small",)
    path.write_text(OWN.replace("[grid]", 'base = "derived"\n[grid]'))
    with pytest.raises(ValueError, match="its own base .derived < mine < derived"):
        Experiment.read(derived, "small")
    derived.write_text(own.replace('"mine"', '"nobody"'))
    with pytest.raises(FileNotFoundError, match="nobody.toml"):
        Experiment.read(derived, "small")


def test_an_experiment_has_the_presets_that_its_own_file_names(path):
    assert Experiment.presets(path) == ("small", "large")
    path.write_text(OWN.replace("[presets.large]", ""))
    with pytest.raises(ValueError, match="no such preset; there are small"):
        Experiment.read(path, "large")  # though what is shared has it


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        (name, preset)
        for name in NAMES
        for preset in Experiment.presets(EXPERIMENTS / f"{name}.toml")
    ],
)
def test_the_experiments_of_the_repository_can_be_run(name, preset):
    experiment = Experiment.read(EXPERIMENTS / f"{name}.toml", preset)
    protocol = experiment.protocol
    for method in experiment.grid.methods:
        assert experiment.grid.variant(method).applied_to(protocol).epochs == protocol.epochs
    widths = {name_and_width(model)[1] for model in experiment.grid.models}
    # Nothing is called full that is not.
    assert (widths == {1.0} and protocol.max_train_examples is None) == (preset == "full") or (
        preset == "smoke"
    )
    assert len(experiment.grid.seeds) == (1 if preset == "smoke" else 3)


# At `full` networks are whole and teachers at their end: nothing else is to be asked.
OF_SMALL_ONES = {"widths", "widths_longer", "widths_longer_teacher", "longer_teacher"}


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_has_a_small_preset_and_the_full_one(name):
    presets = set(Experiment.presets(EXPERIMENTS / f"{name}.toml"))
    assert "smoke" in presets and presets & {"cpu", "early"}
    assert ("full" in presets) == (name not in OF_SMALL_ONES)
