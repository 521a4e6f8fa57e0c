"""The recipe: the whole main job in stages, as scripts and experiments run it."""

from keras_cascade.recipe.settings import Settings
from keras_cascade.recipe.stages import (
    distil,
    evaluate,
    fine_tune,
    make_cascade,
    one_shot_l1,
    recover,
    test_accuracy,
    train_cascade,
    train_teacher,
)
from keras_cascade.recipe.strategy import distribution_scope, distribution_scopes

__all__ = [
    "Settings",
    "distil",
    "distribution_scope",
    "distribution_scopes",
    "evaluate",
    "fine_tune",
    "make_cascade",
    "one_shot_l1",
    "recover",
    "test_accuracy",
    "train_cascade",
    "train_teacher",
]
