"""Report: results as files, plots, summaries, progress, and the pages of a comparison study."""

from keras_cascade.report.files import whole_file
from keras_cascade.report.plots import plot_accuracy_against_macs
from keras_cascade.report.progress import EpochProgress
from keras_cascade.report.results import versions, writable_folder, write_json
from keras_cascade.report.study_page import write_study_page, write_study_report
from keras_cascade.report.study_plots import draw_study
from keras_cascade.report.study_summary import METHODS, cells_table, summarise_cells, write_csv
from keras_cascade.report.summary import markdown_table, read_runs, replace_section, summarise

__all__ = [
    "METHODS",
    "EpochProgress",
    "cells_table",
    "draw_study",
    "markdown_table",
    "plot_accuracy_against_macs",
    "read_runs",
    "replace_section",
    "summarise",
    "summarise_cells",
    "versions",
    "whole_file",
    "writable_folder",
    "write_csv",
    "write_json",
    "write_study_page",
    "write_study_report",
]
