"""Deploy: a trained model as files that are compared with it, and measured on their runtimes."""

from keras_cascade.deploy.artefacts import write_keras, write_litert
from keras_cascade.deploy.export import export
from keras_cascade.deploy.formats import QUANTIZATIONS, ExportError
from keras_cascade.deploy.latency import Latency, measure_latency, measure_memory
from keras_cascade.deploy.latency_pruning import prune_to_latency
from keras_cascade.deploy.latency_table import LatencyTable
from keras_cascade.deploy.litert import open_interpreter

__all__ = [
    "QUANTIZATIONS",
    "ExportError",
    "Latency",
    "LatencyTable",
    "export",
    "measure_latency",
    "measure_memory",
    "open_interpreter",
    "prune_to_latency",
    "write_keras",
    "write_litert",
]
