"""The study: weight pruning, channel pruning, distillation and the cascade, compared fairly."""

from keras_cascade.study.experiment import COMMON, Experiment
from keras_cascade.study.grid import Cell, Grid
from keras_cascade.study.methods import METHODS
from keras_cascade.study.protocol import Protocol
from keras_cascade.study.records import Records
from keras_cascade.study.runner import StudyRunner
from keras_cascade.study.variants import Variant

__all__ = [
    "COMMON",
    "METHODS",
    "Cell",
    "Experiment",
    "Grid",
    "Protocol",
    "Records",
    "StudyRunner",
    "Variant",
]
