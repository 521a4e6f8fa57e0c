"""The recipe: the whole main job in stages, as scripts and experiments run it."""

from keras_cascade.recipe.settings import LEVEL_LOSSES, RECOVERY_GUIDES, Settings
from keras_cascade.recipe.stage_backups import StageBackups
from keras_cascade.recipe.stages import (
    accuracy_on_test,
    classification_loss,
    distil,
    evaluate,
    fine_tune,
    make_cascade,
    one_shot_l1,
    recover,
    recovery_guide,
    train_cascade,
    train_teacher,
)
from keras_cascade.recipe.strategy import distribution_scope, distribution_scopes

__all__ = [
    "LEVEL_LOSSES",
    "RECOVERY_GUIDES",
    "Settings",
    "StageBackups",
    "classification_loss",
    "distil",
    "distribution_scope",
    "distribution_scopes",
    "evaluate",
    "fine_tune",
    "make_cascade",
    "one_shot_l1",
    "recover",
    "recovery_guide",
    "accuracy_on_test",
    "train_cascade",
    "train_teacher",
]
