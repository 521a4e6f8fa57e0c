"""Report: results as files, plots, summaries, progress, and the pages of runs and of studies."""

from keras_cascade.report.files import cache_folder, sha256_of, whole_file
from keras_cascade.report.plots import plot_accuracy_against_macs
from keras_cascade.report.progress import EpochProgress
from keras_cascade.report.results import device, versions, writable_folder, write_json
from keras_cascade.report.run_folder import LATENCY, RESULTS, read_latency, read_run
from keras_cascade.report.run_page import write_run_report
from keras_cascade.report.study_page import STUDY, write_study_page, write_study_report
from keras_cascade.report.study_plots import draw_study
from keras_cascade.report.study_summary import METHODS, cells_table, summarise_cells, write_csv
from keras_cascade.report.summary import markdown_table, read_runs, replace_section, summarise

__all__ = [
    "LATENCY",
    "METHODS",
    "RESULTS",
    "STUDY",
    "EpochProgress",
    "cache_folder",
    "cells_table",
    "device",
    "draw_study",
    "markdown_table",
    "plot_accuracy_against_macs",
    "read_latency",
    "read_run",
    "read_runs",
    "replace_section",
    "sha256_of",
    "summarise",
    "summarise_cells",
    "versions",
    "whole_file",
    "writable_folder",
    "write_csv",
    "write_json",
    "write_run_report",
    "write_study_page",
    "write_study_report",
]
