"""Report: results as files, plots, summaries and progress."""

from keras_cascade.report.plots import plot_accuracy_against_macs
from keras_cascade.report.progress import EpochProgress
from keras_cascade.report.results import versions, writable_folder, write_json
from keras_cascade.report.summary import markdown_table, read_runs, replace_section, summarise

__all__ = [
    "EpochProgress",
    "markdown_table",
    "plot_accuracy_against_macs",
    "read_runs",
    "replace_section",
    "summarise",
    "versions",
    "writable_folder",
    "write_json",
]
