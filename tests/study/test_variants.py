"""Variants: what may differ between methods, and what may not."""

import pytest

from keras_cascade.study import Protocol, Variant


def test_a_variant_changes_what_it_names_and_nothing_else():
    protocol = Protocol()
    changes = {"alpha": 0.9, "cascade_scope": "layer", "scope": "global", "spacing": "geometric"}
    changed = Variant("cascade_2", changes).applied_to(protocol).as_dict()
    assert {name: changed[name] for name in changes} == changes
    assert {n: v for n, v in changed.items() if n not in changes} == {
        n: v for n, v in protocol.as_dict().items() if n not in changes
    }


@pytest.mark.parametrize("name", ["teacher_epochs", "batch_size", "budget", "max_train_examples"])
def test_what_would_make_methods_incomparable_is_refused(name):
    with pytest.raises(ValueError, match=f"cannot change {name}: .*same teacher and images"):
        Variant("cascade_2", {name: 3})


def test_epochs_may_be_shared_out_anew_but_not_added():
    protocol = Protocol()
    moved = {"epochs": protocol.epochs, "recover_epochs": 0}
    assert Variant("cascade_2", moved).applied_to(protocol).epochs == protocol.epochs
    with pytest.raises(ValueError, match="as many images"):
        Variant("cascade_2", {"epochs": protocol.epochs}).applied_to(protocol)


def test_flat_values_come_back():
    values = {"budget": "macs", "batch_size": 32, "cascade_scope": "layer", "recover_epochs": 3}
    values |= {"recover_from": "teacher", "recover_alpha": 0.0, "litert": False, "image_size": 16}
    flat = Protocol.from_dict(values).as_dict()
    assert {name: flat[name] for name in values} == values
    assert Protocol.from_dict(flat) == Protocol.from_dict(values)


def test_unknown_settings_are_named():
    with pytest.raises(ValueError, match="Unknown settings alhpa. Known: .*alpha"):
        Protocol.from_dict({"alhpa": 0.1})
    with pytest.raises(ValueError, match="spacing must be even or geometric"):
        Protocol.from_dict({"spacing": "odd"})
