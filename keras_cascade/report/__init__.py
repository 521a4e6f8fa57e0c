"""Report: results as files, plots and progress."""

from keras_cascade.report.plots import plot_accuracy_against_macs
from keras_cascade.report.progress import EpochProgress
from keras_cascade.report.results import versions, writable_folder, write_json

__all__ = [
    "EpochProgress",
    "plot_accuracy_against_macs",
    "versions",
    "writable_folder",
    "write_json",
]
