"""The study: weight pruning, channel pruning, distillation and the cascade, compared fairly."""

from keras_cascade.study.grid import Cell, Grid
from keras_cascade.study.methods import METHODS
from keras_cascade.study.protocol import Protocol
from keras_cascade.study.records import Records
from keras_cascade.study.runner import StudyRunner

__all__ = ["METHODS", "Cell", "Grid", "Protocol", "Records", "StudyRunner"]
