"""The version of keras_cascade, kept here and nowhere else."""

__version__ = "0.1.0"
