"""The recipe: the whole main job in stages, as scripts and experiments run it."""

from keras_cascade.recipe.settings import Settings
from keras_cascade.recipe.stages import (
    evaluate,
    make_cascade,
    one_shot_l1,
    recover,
    train_cascade,
    train_teacher,
)

__all__ = [
    "Settings",
    "evaluate",
    "make_cascade",
    "one_shot_l1",
    "recover",
    "train_cascade",
    "train_teacher",
]
