"""The recipe's stages fit together, and its settings make what they say."""

import types

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf

from keras_cascade import recipe
from keras_cascade.surgery import copy_model

# What `recipe.Settings` and `CascadeDistiller` call by the same name.
COMMON = (
    "levels", "budget", "guidance", "scope", "round_to", "min_channels", "temperature", "alpha",
    "momentum", "freeze_teacher", "hard_masks",
)  # fmt: skip


@pytest.fixture
def images():
    model = networks.small_convnet()
    x, y = networks.examples_for(model, 32)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    return types.SimpleNamespace(train=batches, test=batches, steps_per_epoch=4)


def test_stages_in_turn(images):
    settings = recipe.Settings(
        teacher_epochs=1, epochs=2, recover_epochs=1, levels=(0.3, 0.6), min_channels=1
    )
    teacher = networks.small_convnet()
    recipe.train_teacher(teacher, images, settings)
    original = copy_model(teacher)
    cascade, history = recipe.train_cascade(teacher, images, settings)
    student = cascade.extract()
    recipe.recover(student, original, images, settings, settings.recover_epochs)
    yardstick = recipe.one_shot_l1(original, images, settings)
    rows = [recipe.evaluate(n, m, images, 3) for n, m in (("student", student), ("l1", yardstick))]
    assert not student.compiled
    assert rows[0]["macs"] == pytest.approx(rows[1]["macs"], rel=0.15)
    sizes = {"params", "nonzero_params", "macs", "bytes"}
    assert set(rows[0]) == {"name", "accuracy", "seed", *sizes}
    assert len(history["student_flips"]) == 2


def test_what_the_guide_weighs_in_recovery(images):
    """`recover_alpha` is recovery's, and `alpha` the rest's; at 0, recovery is fine-tuning."""
    guide, student = networks.small_convnet(), networks.small_convnet()
    trained = {}
    changed = {
        "by labels": {"recover_alpha": 0.0},
        "guided": {},
        "annealed": {"anneal_teacher": True},
        "guided half as much": {"recover_alpha": 0.45},
    }
    for name, values in changed.items():
        settings = recipe.Settings(alpha=0.9, **{"anneal_teacher": False, **values})
        trained[name] = copy_model(student)
        recipe.recover(trained[name], guide, images, settings, epochs=1)
    trained["fine-tuned"] = copy_model(student)
    recipe.fine_tune(trained["fine-tuned"], images, settings, epochs=1)
    weights = {name: model.get_weights() for name, model in trained.items()}
    for found, expected in zip(weights["by labels"], weights["fine-tuned"], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(weights["guided"][0] - weights["by labels"][0]).max() > 1e-3
    # The one epoch's mean of a line from 0.9 to 0.
    for found, expected in zip(weights["annealed"], weights["guided half as much"], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_annealing_holds_for_the_yardstick_too(images):
    """One-shot pruning is distilled as recovery is: over one epoch, by half of alpha."""
    teacher = networks.small_convnet()
    common = {"levels": (0.5,), "epochs": 1, "recover_epochs": 0, "min_channels": 1}
    annealed, half = (
        recipe.one_shot_l1(teacher, images, recipe.Settings(**common, **values)).get_weights()
        for values in ({"alpha": 0.8}, {"alpha": 0.4, "anneal_teacher": False})
    )
    for found, expected in zip(annealed, half, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("recover_alpha", [-0.1, 1.0])
def test_recovery_without_labels_is_refused(recover_alpha):
    with pytest.raises(ValueError, match=rf"recover_alpha must lie in \[0, 1\).*{recover_alpha}"):
        recipe.Settings(recover_alpha=recover_alpha)


@pytest.mark.only_on("tensorflow", reason="JAX traces otherwise, torch not at all")
def test_a_teachers_step_is_traced_once(images, monkeypatch):
    teacher, runs = networks.small_convnet(), []
    train_step = teacher.train_step
    monkeypatch.setattr(teacher, "train_step", lambda data: runs.append(1) or train_step(data))
    recipe.train_teacher(teacher, images, recipe.Settings(teacher_epochs=1))
    assert len(runs) == 1


@pytest.mark.parametrize("freeze_teacher", [False, True])
def test_the_cascade_is_made_as_the_settings_say(freeze_teacher):
    settings = recipe.Settings(levels=(0.3,), min_channels=1, freeze_teacher=freeze_teacher)
    cascade = recipe.make_cascade(networks.small_convnet(), settings)
    config = cascade.get_config()
    for name in COMMON:
        assert config[name] == getattr(settings, name), name


@pytest.mark.slow
def test_levels_are_sliced_once_masks_are_fixed(images):
    """As many steps are masked as prune, and the losses are those of masked levels throughout."""
    sliced, losses = {}, {}
    for slice_levels in (False, True):
        settings = recipe.Settings(
            epochs=2, levels=(0.5,), min_channels=1, end=0.5, slice_levels=slice_levels
        )
        seen = sliced[slice_levels] = []

        class Watch(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None, seen=seen):
                seen.append(self.model.sliced)

        keras.utils.set_random_seed(0)
        model = networks.small_convnet()
        _, history = recipe.train_cascade(model, images, settings, [Watch()])
        losses[slice_levels] = history["loss"]
    assert sliced[False] == [False] * 8
    assert sliced[True] == [False] * 3 + [True] * 5
    assert losses[True] == pytest.approx(losses[False], rel=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_optimizer_follows_a_cosine(name):
    optimizer = recipe.Settings(optimizer=name).make_optimizer(0.5, steps=10)
    assert float(optimizer.learning_rate) == pytest.approx(0.5)
    optimizer.iterations.assign(10)
    assert float(optimizer.learning_rate) == pytest.approx(0.0, abs=1e-7)
    assert isinstance(optimizer, keras.optimizers.Optimizer)


@pytest.mark.parametrize("freeze_teacher", [True, False])
def test_the_mean_of_levels_weighs_as_one_loss(freeze_teacher):
    for level_losses, whole in (("mean", 1.0), ("sum", 2.0 if freeze_teacher else 3.0)):
        settings = recipe.Settings(
            levels=(0.3, 0.5),
            freeze_teacher=freeze_teacher,
            level_losses=level_losses,
            min_channels=1,
        )
        weights = recipe.make_cascade(networks.small_convnet(), settings).get_config()[
            "level_weights"
        ]
        assert sum(weights) == pytest.approx(whole) and weights[1] == weights[2] > 0
        assert weights[0] == (0.0 if freeze_teacher else weights[1])
    with pytest.raises(ValueError, match="level_losses must be sum or mean, got 'median'"):
        recipe.Settings(level_losses="median")


def test_unknown_optimizer():
    with pytest.raises(ValueError, match="(?i)could not interpret optimizer|unknown"):
        recipe.Settings(optimizer="sdg").make_optimizer(0.1, steps=1)


@pytest.mark.only_on("tensorflow", reason="elsewhere Keras decides")
def test_xla_is_off_on_a_tensorflow_cpu_unless_asked_for():
    on_cpu = not tf.config.list_physical_devices("GPU")
    assert recipe.Settings().use_jit() == (False if on_cpu else "auto")
    assert recipe.Settings(jit_compile=True).use_jit() is True


@pytest.mark.only_on("jax", "torch", reason="TensorFlow has strategies")
def test_strategies_need_tensorflow():
    with pytest.raises(ValueError, match="set KERAS_BACKEND=tensorflow"):
        recipe.distribution_scope("mirrored:2")
    assert recipe.distribution_scope("none")[1] == 1
