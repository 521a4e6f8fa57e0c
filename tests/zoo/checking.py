"""One body that checks a model of `keras.applications`, for tests and for docs/coverage.md.

Untrained weights prove little: normalisation is neutral, and with half the channels masked the
signal of a deep network dies out long before the output and takes every error with it. So the
weights are first made *lively*: biases and normalisation leave their neutral values, moving
statistics come near those of the masked network, as if it had been trained so, and kernels are
scaled until the output depends on the image.
"""

import collections
import inspect
import pathlib
import time
from unittest import mock

import invariants
import keras
import networks
import numpy as np

import keras_cascade as kc

CLASSES = 10
EXAMPLES = 4
# VGG takes 32, but then its Flatten would see a single position.
SMALLEST = {"VGG16": 64, "VGG19": 64, "Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75}
CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)

TOLERANCE = 1e-5
# Where rounding alone exceeds TOLERANCE: the same comparison in float64, whose rounding unit is
# 5e8 times smaller than that of float32.
TOLERANCE_FLOAT64 = 1e-10
# Outputs for different images, max difference over max |y|. Less, and errors die out on their way;
# more, and the network is chaotic: rounding grows with every layer.
SPREAD = 0.01, 0.5


def constructors():
    """Every model function of the installed `keras.applications`: dict from name to function."""
    return dict(inspect.getmembers(keras.applications, inspect.isfunction))


def build(name):
    """One of them, untrained, logits out, on the smallest images it takes."""
    size = SMALLEST.get(name, 32)
    keras.utils.set_random_seed(7)
    return constructors()[name](
        weights=None, input_shape=(size, size, 3), classes=CLASSES, classifier_activation=None
    )


def check_model(model, folder):
    """Cuts a model twice, by random masks and by `prune(model, 0.5)`, and measures the results.

    Args:
        model: a classifier of images with logits out; its weights are changed.
        folder: where to save a pruned model; the caller removes it.

    Returns:
        A row: dict of plain values. `problems` says what is wrong with it.
    """
    started = time.perf_counter()
    random = np.random.default_rng(7)
    graph = kc.ChannelGraph(model)
    masks = invariants.random_masks(graph, random)
    images = _images(model, random)
    networks.unsettled(model)
    masked = kc.masked_view(model, masks)
    spreads = [_enliven(model, masked, images)]
    small = kc.Surgeon(model, graph).extract(masks, verify=False)
    at_random = _compared(masked, small, images)
    # Once to know the masks; then for weights that are lively under these, which are other ones.
    spreads.append(_enliven(model, kc.masked_view(model, _pruned(model)[1]), images))
    pruned, chosen = _pruned(model)
    by_prune = _compared(kc.masked_view(model, chosen), pruned, images)
    return {
        "image": model.input_shape[1],
        **_coverage(graph),
        "params": graph.params(),
        "params_after": pruned.count_params(),
        "macs": graph.macs(),
        "macs_after": graph.macs(chosen),
        "predicted": _as_predicted(graph, masks, small) and _as_predicted(graph, chosen, pruned),
        "spreads": spreads,
        "difference": max(at_random[0], by_prune[0]),
        "difference_float64": max(at_random[1:] + by_prune[1:], default=None),
        "reloaded_difference": _saved_and_loaded(small, images, folder),
        "trained": _trains(small, images),
        "seconds": time.perf_counter() - started,
    }


def problems(row, min_share=0.95):
    """What is wrong with a row: list of sentences, empty if nothing is.

    Args:
        row: what `check_model` returned.
        min_share: the least share of convolution filters that must be prunable.
    """
    rounding = row["difference_float64"]
    exact = row["difference"] <= TOLERANCE or (
        rounding is not None and rounding <= TOLERANCE_FLOAT64
    )
    share = row["prunable_filters"] / row["filters"]
    checks = {
        f"{share:.1%} of its filters are prunable: {reasons(row)}": share >= min_share,
        "predicted params or MACs are not those of the extracted model": row["predicted"],
        f"masked and extracted differ by {row['difference']:.2g}, float64 {rounding}": exact,
        f"outputs for different images lie {row['spreads']} apart, not within {SPREAD}": all(
            SPREAD[0] <= spread <= SPREAD[1] for spread in row["spreads"]
        ),
        f"it differs by {row['reloaded_difference']:.2g} once saved and loaded": (
            row["reloaded_difference"] <= TOLERANCE
        ),
        "a training step does not change the weights, or makes them infinite": row["trained"],
    }
    return [sentence for sentence, holds in checks.items() if not holds]


def reasons(row):
    """Why filters of a row are kept whole, and how many: one line, the layers' names left out."""
    counts = collections.Counter()
    for reason, count in row["kept_whole"].items():
        counts[reason.rsplit(": ", 1)[-1]] += count
    return "; ".join(f"{reason} ({count:,})" for reason, count in counts.most_common())


def _pruned(model):
    """What `prune` returns, and the masks it took."""
    with mock.patch.object(
        kc.Surgeon, "extract", autospec=True, side_effect=kc.Surgeon.extract
    ) as extract:
        # A difference is to be measured by the caller, not raised there.
        pruned = kc.prune(model, 0.5, verify=False)
    return pruned, extract.call_args.args[1]


def _coverage(graph):
    """How many filters the convolutions have, how many may be cut, and why the others may not."""
    reason_at = np.full(graph.num_units, "model input", object)
    for group in graph.groups:
        reason_at[group.units] = group.reason
    filters, kept_whole = 0, collections.Counter()
    for call, _ in graph.first_flows():
        if isinstance(call.operation, CONVOLUTIONS):
            channels = graph.channels[call.outputs[0]]
            filters += len(channels)
            kept_whole.update(reason_at[graph.units_at(channels.labels)])
    prunable = kept_whole.pop("", 0)
    return {
        "filters": filters,
        "prunable_filters": prunable,
        "kept_whole": dict(kept_whole.most_common()),
    }


def _images(model, random):
    """Random images, in the range of pixels where the model itself scales them."""
    shape = (EXAMPLES, *model.input_shape[1:])
    if any(isinstance(layer, keras.layers.Rescaling) for layer in model.layers):
        return random.uniform(0, 255, shape).astype("float32")
    return random.standard_normal(shape).astype("float32")


def _enliven(model, masked, images):
    """Makes the weights lively; returns how far outputs for different images lie apart."""
    statistics = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.5  # half of the initial variance stays, for channels that are dead
            statistics += [(v, v.numpy()) for v in (layer.moving_mean, layer.moving_variance)]
    kernels = [variable for variable in model.trainable_weights if len(variable.shape) > 1]
    step, grows = 1.5, True
    for _ in range(15):
        for variable, value in statistics:
            variable.assign(value)
        masked(images, training=True)
        outputs = _outputs(masked, images)
        spread = float(np.ptp(outputs, axis=0).max() / np.abs(outputs).max())
        if SPREAD[0] <= spread <= SPREAD[1]:
            break
        if grows != (spread < SPREAD[0]):
            step, grows = step**0.5, not grows
        for variable in kernels:
            variable.assign(variable * (step if grows else 1 / step))
    return spread


def _compared(masked, small, images):
    """Max |difference| over max(1, max |y|), in float32; if too large, in float64 too."""
    differences = [_difference(_outputs(masked, images), _outputs(small, images))]
    if differences[0] > TOLERANCE:
        twins = _in_float64(masked), _in_float64(small)
        differences.append(_difference(*(_outputs(twin, images) for twin in twins)))
    return differences


def _difference(expected, got):
    return float(np.abs(expected - got).max() / max(1.0, np.abs(expected).max()))


def _outputs(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


def _in_float64(model):
    """The same model computing in float64."""

    def clone(layer):
        return type(layer).from_config({**layer.get_config(), "dtype": "float64"})

    twin = keras.models.clone_model(model, clone_function=clone)
    twin.set_weights(model.get_weights())
    return networks.finalized(twin)


def _as_predicted(graph, masks, small):
    return (small.count_params(), kc.ChannelGraph(small).macs()) == (
        graph.params(masks),
        graph.macs(masks),
    )


def _saved_and_loaded(model, images, folder):
    path = pathlib.Path(folder) / "small.keras"
    model.save(path)
    return _difference(_outputs(model, images), _outputs(keras.saving.load_model(path), images))


def _trains(model, images):
    """Whether one step of training leaves finite weights, not all as they were."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Eager: tracing and compiling a deep model takes many times as long as one step.
    model.compile(keras.optimizers.SGD(1e-3), loss, run_eagerly=True)
    before = [value.numpy() for value in model.trainable_weights]
    model.train_on_batch(images, np.arange(EXAMPLES) % CLASSES)
    after = [value.numpy() for value in model.trainable_weights]
    moved = [not np.array_equal(old, new) for old, new in zip(before, after, strict=True)]
    return any(moved) and all(np.isfinite(value).all() for value in after)
