"""The cascade: teacher, assistants and student trained and pruned together."""

from keras_cascade.cascade.backup import TrainingBackup, TrainingInterrupted
from keras_cascade.cascade.callback import CascadeCallback
from keras_cascade.cascade.cascade_distiller import CascadeDistiller
from keras_cascade.cascade.data_faults import DataError
from keras_cascade.cascade.distiller import Distiller
from keras_cascade.cascade.gradient_share import gradient_shares
from keras_cascade.cascade.guard import FiniteLossGuard, NonFiniteLossError
from keras_cascade.cascade.level_records import level_records
from keras_cascade.cascade.losses import SoftTargetLoss
from keras_cascade.cascade.output_kind import returns_probabilities
from keras_cascade.cascade.schedules import ConstantSchedule, PolynomialSchedule
from keras_cascade.cascade.teacher_annealing import TeacherAnnealing

__all__ = [
    "CascadeCallback",
    "CascadeDistiller",
    "ConstantSchedule",
    "DataError",
    "Distiller",
    "FiniteLossGuard",
    "NonFiniteLossError",
    "PolynomialSchedule",
    "SoftTargetLoss",
    "TeacherAnnealing",
    "TrainingBackup",
    "TrainingInterrupted",
    "gradient_shares",
    "level_records",
    "returns_probabilities",
]
