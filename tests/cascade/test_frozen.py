"""What is frozen stays, to the bit, in all levels; the rest trains and is pruned."""

import keras
import networks
import numpy as np
import pytest
from keras import layers
from marks import slow

import keras_cascade as kc

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def with_backbone():
    """A nested model with a normalisation of its own, and one behind it."""
    inputs = x = keras.Input((8, 8, 2))
    for number in (1, 2):
        x = layers.Conv2D(6, 3, padding="same", name=f"inside{number}")(x)
        x = layers.ReLU()(layers.BatchNormalization(name=f"inside{number}_bn")(x))
    backbone = keras.Model(inputs, x, name="backbone")
    x = layers.Conv2D(8, 3, name="outside")(backbone(image := keras.Input((8, 8, 2))))
    x = layers.BatchNormalization(name="outside_bn")(x)
    x = layers.Dense(10, name="hidden")(layers.GlobalAveragePooling2D()(x))
    return networks.unsettled(keras.Model(image, layers.Dense(4, name="logits")(x)))


def freeze_all_but_the_head(model):
    for layer in model.layers[:-1]:
        layer.trainable = False


def freeze(name):
    def set_flag(model):
        model.get_layer(name).trainable = False

    return set_flag


def fitted(model, before_compile=lambda model: None):
    """A cascade after four steps with changing masks, and its weights before them."""
    cascade = kc.CascadeDistiller(model, (0.3, 0.6), min_channels=1, momentum=0.5)
    before_compile(model)
    return cascade, trained_on(cascade)


def trained_on(cascade, **options):
    cascade.compile("adamw", LOSS, run_eagerly=True)
    before = weights_of(cascade)
    x, y = networks.examples_for(cascade._base, 32)
    pruning = kc.CascadeCallback(**{"begin": 0, "end": 4, "frequency": 1, **options})
    cascade.fit(x, y, batch_size=8, verbose=0, callbacks=[pruning])
    return before


def weights_of(cascade):
    return {weight.path: weight.numpy().copy() for weight in cascade.weights}


def changed_layers(cascade, before):
    """Names of the layers of which at least one weight is another than before."""
    after = weights_of(cascade)
    changed = {
        path.split("/")[0] for path in before if not np.array_equal(before[path], after[path])
    }
    return {name for name in changed if not name.endswith("_gates")}


def layers_with_weights(cascade):
    """Names of the layers with weights, and of the levels' own normalisations, by the original."""
    found = {}
    for path in weights_of(cascade):
        name = path.split("/")[0]
        original = name.removesuffix("_ta1").removesuffix("_student")
        if not name.endswith(("_gates", "_cascade")):
            found.setdefault(original, set()).add(name)
    return found


def assert_frozen(cascade, before, names):
    """The named layers and their copies in all levels are as before; all others are not."""
    of = layers_with_weights(cascade)
    frozen = set().union(*(of[name] for name in names))
    assert any(len(of[name]) == 3 for name in of if name.endswith("_bn"))
    expected = set().union(*of.values()) - frozen
    assert changed_layers(cascade, before) - {cascade.name} == expected
    assert not all(mask.all() for mask in cascade.masks().values())


CASES = {
    "one convolution": (networks.small_convnet, freeze("inner"), ["inner"]),
    "one normalisation": (networks.small_convnet, freeze("stem_bn"), ["stem_bn"]),
    "all but the head": (
        networks.small_convnet,
        freeze_all_but_the_head,
        ["stem", "stem_bn", "inner", "outer", "hidden"],
    ),
    "a nested model": (
        with_backbone,
        freeze("backbone"),
        ["inside1", "inside1_bn", "inside2", "inside2_bn"],
    ),
}


@pytest.mark.parametrize("when", ["before the cascade is made", *slow("before it is compiled")])
@pytest.mark.parametrize("case", CASES)
def test_frozen_stays_in_all_levels(case, when):
    make, set_flags, names = CASES[case]
    model = make()
    if when == "before the cascade is made":
        set_flags(model)
        cascade, before = fitted(model)
    else:
        cascade, before = fitted(model, set_flags)
    assert_frozen(cascade, before, names)


@pytest.mark.parametrize("names", [["inner"], ["stem_bn"]])
def test_frozen_stays_where_levels_are_computed_with_slices(names):
    cascade = kc.CascadeDistiller(networks.small_convnet(), (0.3, 0.6), min_channels=1)
    for name in names:
        freeze(name)(cascade._base)
    assert_frozen(cascade, trained_on(cascade, end=2, slice_levels=True), names)


def test_a_thawed_layer_trains_after_the_next_compile():
    model = networks.small_convnet()
    model.get_layer("stem_bn").trainable = False
    cascade, _ = fitted(model)
    model.get_layer("stem_bn").trainable = True
    assert_frozen(cascade, trained_on(cascade), [])


def test_what_is_extracted_saved_and_loaded_is_as_frozen(tmp_path):
    model = networks.small_convnet()
    for name in ("stem_bn", "inner"):
        freeze(name)(model)
    cascade, _ = fitted(model)
    cascade.save(tmp_path / "cascade.keras")
    loaded = keras.saving.load_model(tmp_path / "cascade.keras")
    for one in (cascade, loaded):
        for level in cascade.level_names:
            found = {layer.name for layer in one.extract(level).layers if not layer.trainable}
            assert found == {"stem_bn", "inner"}
    assert_frozen(loaded, trained_on(loaded), ["stem_bn", "inner"])
