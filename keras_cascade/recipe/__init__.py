"""The recipe: the whole main job in stages, as scripts and experiments run it."""

from keras_cascade.recipe.settings import Settings
from keras_cascade.recipe.stages import (
    accuracy_on_test,
    distil,
    evaluate,
    fine_tune,
    make_cascade,
    one_shot_l1,
    recover,
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
    "accuracy_on_test",
    "train_cascade",
    "train_teacher",
]
