"""export: a model as files for other runtimes, each run there and compared before it counts.

Everything is written to a folder beside the final one, loaded in its own runtime, compared with
the model, listed in a manifest with its digest, and only then renamed. So what stands under the
final name is whole, and gives what the model gives.
"""

import json
import pathlib
import shutil
import tempfile
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_cascade.cascade.guided import GuidedTrainer
from keras_cascade.deploy import formats as file_formats
from keras_cascade.deploy.examples import batches_of, examples_of, named_batches, random_examples
from keras_cascade.deploy.formats import ExportError
from keras_cascade.deploy.lowering import lowered
from keras_cascade.profile import profile
from keras_cascade.report import sha256_of, versions, write_json
from keras_cascade.saliency import ChannelGates
from keras_cascade.surgery.views import ChannelMask, MaskedCall
from keras_cascade.typing import ExportFormat, Path, Quantization, Record

MANIFEST = "manifest.json"
_FILES = {"saved_model": "saved_model", "litert": "model.tflite", "onnx": "model.onnx"}
_OPENERS = {
    "saved_model": file_formats.open_saved_model,
    "litert": file_formats.open_litert,
    "onnx": file_formats.open_onnx,
}
# Largest difference, relative to the largest output (at least 1).
_TOLERANCES = {None: 1e-4, "float16": 1e-2, "dynamic": 0.1, "int8": 0.2}
_LEAST_AGREEMENT = 0.9


def export(
    model: keras.Model,
    path: Path,
    formats: ExportFormat | Iterable[ExportFormat] = ("saved_model", "litert", "onnx"),
    *,
    quantize: Quantization | None = None,
    representative_data: Any = None,
    tolerance: float | None = None,
    min_agreement: float | None = None,
    pruning: Record | None = None,
    verbose: bool = False,
) -> Record:
    """Writes a model for other runtimes, runs each file there, and compares it with the model.

    The folder gets `saved_model/`, `model.tflite`, `model.onnx` and `manifest.json`: versions,
    inputs and outputs, params and MACs, the digest of each file, what the comparison found, and
    how the model was pruned. It appears whole or not at all; a former export there is replaced.

    Args:
        model: a built Functional or Sequential `keras.Model`, at any batch size.
        path: of the folder.
        formats: of "saved_model", "litert" and "onnx"; the last needs the extra `onnx`.
        quantize: of the LiteRT file, whose inputs and outputs stay float32: None, "float16"
            (weights), "dynamic" (8-bit weights, activations on the fly) or "int8" (both).
        representative_data: examples of the inputs, as the model gets them: an array, a list of
            arrays (one for each input), a dict of arrays by the inputs' names, or an iterable of
            batches `x` or `(x, y)`. "int8" needs them to find the ranges of activations; all files
            are compared on them. Without them the comparison is on random numbers.
        tolerance: largest |difference| of an output allowed, as a fraction of max(1, max |y|);
            None: 1e-4, for float16 1e-2, for dynamic 0.1, for int8 0.2.
        min_agreement: by what an 8-bit file is judged instead where `tolerance` is not given: the
            least share of the examples on which the largest output is in the same place. None: 0.9
            where the only output is the probabilities of classes, which add up to 1. Give it for
            a classifier whose output is logits.
        pruning: what the manifest says of how the model was pruned; see `pruning_record`.
        verbose: whether to show a progress bar: each file is written, then run.

    Returns:
        Dict, what the manifest holds.

    Raises:
        TypeError: not a plain `keras.Model`: a trainer, or one that is still masked.
        ValueError: an unknown format or quantization, int8 without examples, examples of another
            shape, a path that holds something else.
        ExportError: Keras runs on PyTorch, or on JAX and "onnx" is asked for; a format cannot hold
            the model, or a file gives something else than the model. Nothing is left of the export.
        ImportError: a runtime is not installed; the message says which extra brings it.
        OSError: the folder cannot be written.

    Example:

    ```python
    manifest = kc.export(student, "out", ["litert"], quantize="float16", representative_data=x)
    print(manifest["parity"]["litert"]["max_difference"])
    ```
    """
    _check_exportable(model)
    names = _checked_formats(formats, quantize)
    if min_agreement is not None and not 0.0 <= min_agreement <= 1.0:
        raise ValueError(f"min_agreement is a share, from 0 to 1; got {min_agreement}.")
    if "litert" in names:
        file_formats.check_litert(model, quantize)
    path = pathlib.Path(path).resolve()
    _check_replaceable(path)
    batches = batches_of(model, _examples(model, quantize, representative_data))
    expected = _joined(_outputs_of(model, batch) for batch in batches)
    if min_agreement is None and _are_probabilities(expected):
        min_agreement = _LEAST_AGREEMENT
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.tmp_"))
    bar = keras.utils.Progbar(2 * len(names), verbose=int(verbose))
    try:
        _write(model, folder, names, quantize, batches, bar)
        parity = {}
        for name in names:
            run = _OPENERS[name](folder / _FILES[name], model)
            parity[name] = _difference(expected, _joined(run(batch) for batch in batches))
            _check_parity(name, parity[name], quantize, tolerance, min_agreement)
            bar.add(1)
        content = _manifest(model, folder, parity, quantize, pruning)
        content["examples"] = "given" if representative_data is not None else "random"
        write_json(folder / MANIFEST, content)
        folder.chmod(0o755)  # what is made for oneself alone is given to others
        _replace(folder, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return content


def _check_exportable(model):
    """Raises TypeError for what is no plain, whole `keras.Model`."""
    if isinstance(model, GuidedTrainer):
        raise TypeError(
            f"'{model.name}' is a {type(model).__name__}, which trains models. Export the model "
            "that comes out of it: cascade.extract(), or the student of a Distiller."
        )
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"Expected a keras.Model, got {type(model).__name__}. A tf_keras model is brought over "
            "by from_tf_keras, after tfmot.sparsity.keras.strip_pruning."
        )
    if not model.built or not getattr(model, "inputs", None):
        raise TypeError(
            f"Model '{model.name}' has no fixed inputs: export takes a built Functional or "
            "Sequential model."
        )
    for layer in model._flatten_layers():
        if isinstance(layer, ChannelMask | MaskedCall | ChannelGates):
            raise TypeError(
                f"Model '{model.name}' only masks channels (layer '{layer.name}') and is as large "
                "as before. Extract the smaller model and export that: "
                "Surgeon(model).extract(masks), or cascade.extract()."
            )


def _checked_formats(formats, quantize):
    formats = [formats] if isinstance(formats, str) else list(formats)
    unknown = [name for name in formats if name not in _FILES]
    if unknown or not formats:
        raise ValueError(
            f"formats must be some of {', '.join(_FILES)}, got {', '.join(map(str, formats))!r}."
        )
    file_formats.check_quantize(quantize)
    if quantize is not None and "litert" not in formats:
        raise ValueError(f'quantize={quantize!r} is for LiteRT: add "litert" to formats.')
    file_formats.check_backend()
    if "onnx" in formats:
        file_formats.require_onnx()
    return formats


def _check_replaceable(path):
    if path.exists() and not (path.is_dir() and _holds_only_an_export(path)):
        raise ValueError(
            f"'{path}' holds something else than an export. Choose another folder, or delete it."
        )


def _holds_only_an_export(folder):
    """Whether each file in a folder is one that the manifest there lists; true of an empty one."""
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    if MANIFEST not in there:
        return not there
    try:
        listed = json.loads((folder / MANIFEST).read_text())["files"]
    except (ValueError, KeyError, TypeError):
        return False
    return there <= {MANIFEST, *listed}


def _examples(model, quantize, representative_data):
    """List of arrays, one for each input: what files are compared on."""
    if representative_data is not None:
        return examples_of(model, representative_data)
    if quantize == "int8":
        raise ValueError(
            'quantize="int8" needs representative_data, some hundred examples of the inputs, to '
            'find the ranges of activations. Pass them, or take quantize="dynamic".'
        )
    return random_examples(model)


def _write(model, folder, formats, quantize, batches, bar):
    saved_model = folder / _FILES["saved_model"]
    if "saved_model" in formats or "litert" in formats:
        low = lowered(model)
        file_formats.write_saved_model(low, saved_model)
    bar.add(int("saved_model" in formats))
    if "litert" in formats:
        calibration = named_batches(low, batches)
        file_formats.write_litert_of(saved_model, folder / _FILES["litert"], quantize, calibration)
        bar.add(1)
    if "saved_model" not in formats:
        shutil.rmtree(saved_model, ignore_errors=True)
    if "onnx" in formats:
        low = lowered(model, ungrouped=True)
        _outputs_of(low, batches[0])  # Keras exports to ONNX only what was called
        file_formats.write_onnx(low, folder / _FILES["onnx"])
        bar.add(1)


def _difference(expected, given):
    """How far outputs are off: dict."""
    expected, given = ([values.astype("float64") for values in each] for each in (expected, given))
    pairs = zip(expected, given, strict=True)
    # NumPy's maximum of what holds a NaN is NaN.
    difference = float(np.max([np.abs(one - other).max() for one, other in pairs]))
    scale = float(np.max([1.0, *(np.abs(values).max() for values in expected)]))
    found = {"max_difference": difference, "relative_difference": difference / scale}
    if len(expected) == 1 and expected[0].ndim == 2 and expected[0].shape[1] > 1:  # a classifier
        same = expected[0].argmax(-1) == given[0].argmax(-1)
        found["top1_agreement"] = float(same.mean())
    return found


def _are_probabilities(outputs):
    """Whether the only output is that of a classifier, after the softmax."""
    (first, *others) = outputs
    if others or first.ndim != 2 or first.shape[1] < 2 or not (first >= 0).all():
        return False
    return np.allclose(first.sum(axis=1), 1.0, atol=1e-2)


def _check_parity(name, found, quantize, tolerance, min_agreement):
    quantize = quantize if name == "litert" else None
    file = f"{quantize or name} file"
    agreement = found.get("top1_agreement")
    by_class = quantize in ("dynamic", "int8") and tolerance is None and agreement is not None
    if by_class and min_agreement is not None and np.isfinite(found["max_difference"]):
        if agreement < min_agreement:
            raise ExportError(
                f"The {file} agrees with the model on the class of {agreement:.1%} of the "
                f"examples, below {min_agreement:.1%}; nothing was exported. Give more "
                'representative_data like what the model will see, or take quantize="float16".'
            )
        return
    allowed = _TOLERANCES[quantize] if tolerance is None else tolerance
    if not found["relative_difference"] <= allowed:  # NaN is no parity either
        other = f" A classifier may be judged by min_agreement={_LEAST_AGREEMENT} instead."
        raise ExportError(
            f"The outputs of the {file} and of the model differ by "
            f"{found['relative_difference']:.2e} of the largest, more than tolerance={allowed:g} "
            f"allows; nothing was exported.{other if by_class else ''}"
        )


def _outputs_of(model, arrays):
    outputs = keras.tree.flatten(model(file_formats.as_inputs(model, arrays), training=False))
    return [ops.convert_to_numpy(values) for values in outputs]


def _joined(batches):
    """Lists of arrays, one list a batch, as one list."""
    return [np.concatenate(values) for values in zip(*batches, strict=True)]


def _manifest(model, folder, parity, quantize, pruning):
    sizes = profile(model)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "versions": versions(),
        "model": model.name,
        "params": sizes.params,
        "nonzero_params": sizes.nonzero_params,
        "macs": sizes.macs,
        "inputs": [_signature(tensor) for tensor in model.inputs],
        "outputs": [_signature(tensor) for tensor in model.outputs],
        "quantize": quantize,
        "files": {
            str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
            for path in files
        },
        "parity": parity,
        "pruning": pruning,
    }


def _signature(tensor):
    return {"name": tensor.name, "shape": list(tensor.shape), "dtype": tensor.dtype}


def _replace(folder, path):
    """Puts a folder where another one, whole, may be."""
    former = folder.with_name(f"{folder.name}_former")
    if path.exists():
        path.rename(former)
    folder.rename(path)
    shutil.rmtree(former, ignore_errors=True)
