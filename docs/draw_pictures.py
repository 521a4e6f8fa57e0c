"""Draws the pictures of how_it_works.md, of one small cascade that it trains: `make pictures`.

Everything shown is what the library computed in that run: schedule, budgets, masks, weights and
saliency. The colours are such that text and lines can be read on white and on black, because the
site has both.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))
import quiet_start  # isort: skip  # noqa: E402, F401

import keras  # noqa: E402
import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402
from keras import layers, ops  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from keras_cascade import PolynomialSchedule  # noqa: E402
from keras_cascade.data import load  # noqa: E402
from keras_cascade.recipe import Settings, train_cascade, train_teacher  # noqa: E402
from keras_cascade.report import whole_file, writable_folder  # noqa: E402

flags.DEFINE_string("output_dir", "docs/pictures", "Where to write the SVG files.")
flags.DEFINE_integer("epochs", 15, "Epochs of the teacher alone, and of the cascade.")

FLAGS = flags.FLAGS

GREY = "#808488"
COLOURS = {"teacher": "#3f7fbf", "ta1": "#2a9d8f", "ta2": "#c98a1b", "student": "#d1495b"}
STYLE = {
    **dict.fromkeys(
        ["text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"], GREY
    ),
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "savefig.transparent": True,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "keras_cascade",  # the same drawing gives the same file
}


class Recorder(keras.callbacks.Callback):
    """Notes after every step what the masks are; the logs say so of whole epochs only.

    Args:
        end: the last step that prunes.

    Attributes:
        end: as given.
        masks: list of dicts from level name to a bool array over all prunable channels.
        remaining: list of dicts from level name to the fraction of the MACs left.
        saliency: of the student's channels at the last update of the masks.
    """

    def __init__(self, end):
        super().__init__()
        self.end = end

    def on_train_begin(self, logs=None):
        self.masks, self.remaining = [self._masks()], [self.model.remaining()]

    def on_train_batch_end(self, batch, logs=None):
        self.masks.append(self._masks())
        self.remaining.append(self.model.remaining())
        if len(self.remaining) == self.end + 1:
            self.saliency = self.model.saliency()

    def flips(self, name):
        """How many channels of a level changed at each step; int array of shape `(steps,)`."""
        masks = np.array([masks[name] for masks in self.masks])
        return (masks[1:] != masks[:-1]).sum(axis=1)

    def _masks(self):
        names = self.model.level_names[1:]
        return {name: np.concatenate(list(self.model.masks(name).values())) for name in names}


def network(data):
    """Six convolutions, two of them joined by an Add; ends in logits."""

    def block(x, filters, name, strides=1):
        x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False, name=name)(x)
        return layers.ReLU()(layers.BatchNormalization()(x))

    inputs = keras.Input(data.input_shape)
    x = block(inputs, 16, "conv1")
    x = shortcut = block(x, 32, "conv2", strides=2)
    x = block(x, 32, "conv3")
    x = layers.Add()([shortcut, block(x, 32, "conv4")])
    x = block(x, 48, "conv5", strides=2)
    x = block(x, 64, "conv6")
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(data.classes)(x), name="digits")


def trained_cascade(settings):
    """Trains a teacher on digits and its cascade; returns the cascade and a `Recorder`."""
    keras.utils.set_random_seed(settings.seed)
    data = load("digits", batch_size=64, seed=settings.seed)
    model = network(data)
    recorder = Recorder(round(settings.end * settings.epochs * data.steps_per_epoch))
    train_teacher(model, data, settings)
    cascade, _ = train_cascade(model, data, settings, [recorder])
    return cascade, recorder


def draw_levels(cascade, layer="conv3"):
    """One kernel as each level sees it: rows are input channels, columns filters."""
    figure = _figure(9.0, 2.9)
    kernel = ops.convert_to_numpy(cascade.graph.model.get_layer(layer).kernel)
    strength = np.sqrt(np.square(kernel).sum(axis=(0, 1)))
    strength = 0.12 + 0.88 * strength / strength.max()
    read = next(g.name for g in cascade.graph.groups if layer in g.consumers)
    for axes, name in zip(figure.subplots(1, 4), cascade.level_names, strict=True):
        masks = cascade.masks(name)
        kept = np.outer(masks[read], masks[layer])
        colour = matplotlib.colors.to_rgb(COLOURS[name])
        image = np.dstack([np.full((*kept.shape, 3), colour), np.where(kept, strength, 0.0)])
        axes.imshow(image, interpolation="nearest")
        axes.set(
            xticks=[], yticks=[], xlabel=f"{masks[layer].sum()} of {len(masks[layer])} filters"
        )
        axes.set_title(name, color=COLOURS[name], fontweight="bold")
        axes.spines[:].set_visible(True)
    figure.axes[0].set_ylabel(f"channels of {read}")
    return figure


def draw_schedule(cascade, recorder):
    """What each level still costs over training, and what the schedule asks."""
    figure = _figure(9.0, 3.6)
    axes = figure.add_subplot()
    steps = np.arange(len(recorder.remaining))
    shares = PolynomialSchedule()(np.minimum(steps / recorder.end, 1.0))
    axes.axvline(recorder.end, color=GREY, linewidth=0.8, linestyle=":")
    axes.text(recorder.end, 1.02, " end of pruning", va="bottom")
    for name, target in zip(cascade.level_names, [0.0, *cascade.levels], strict=True):
        left = [remaining[name] for remaining in recorder.remaining]
        axes.plot(steps, 1 - target * shares, color=GREY, linewidth=0.8, linestyle="--")
        axes.plot(steps, left, color=COLOURS[name], linewidth=2, drawstyle="steps-post")
        axes.text(steps[-1], left[-1], f"  {name}", color=COLOURS[name], va="center", weight="bold")
    axes.set(xlim=(0, steps[-1]), ylim=(0, 1.02), xlabel="training step")
    axes.set_ylabel("fraction of the MACs left")
    return figure


def draw_masks(cascade):
    """The channels that every level keeps, group by group."""
    groups = cascade.graph.prunable_groups
    figure = _figure(9.0, 0.85 * len(groups))
    widest = max(group.size for group in groups)
    for axes, group in zip(figure.subplots(len(groups), 1), groups, strict=True):
        for row, name in enumerate(cascade.level_names):
            kept = np.flatnonzero(cascade.masks(name)[group.name])
            axes.barh(np.full(len(kept), row), 0.86, 0.86, kept + 0.07, color=COLOURS[name])
            axes.text(group.size + 0.6, row, str(len(kept)), va="center", color=COLOURS[name])
        axes.set(xlim=(0, widest + 3), ylim=(3.6, -0.6), xticks=[], yticks=[])
        axes.set_ylabel(
            "\n+ ".join(group.producers), rotation=0, ha="right", va="center", color=GREY
        )
        axes.spines[:].set_visible(False)
    handles = [matplotlib.patches.Patch(color=COLOURS[name]) for name in cascade.level_names]
    figure.legend(handles, cascade.level_names, loc="outside lower center", ncols=4)
    return figure


def draw_saliency(cascade, recorder):
    """How many channels change at each update, and the student's saliency at the last one."""
    figure = _figure(9.0, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=[2, 3])
    for name in cascade.level_names[1:]:
        flips = recorder.flips(name)
        steps = np.flatnonzero(flips)
        left.plot(steps + 1, flips[steps], ".-", linewidth=0.8, color=COLOURS[name], label=name)
    left.set(xlabel="training step", ylabel="channels", title="masks that change at an update")
    left.legend()
    masks, start = cascade.masks(), 0
    for group, saliency in recorder.saliency.items():
        order = np.argsort(saliency)[::-1]
        at, kept = start + np.arange(len(order)), masks[group][order]
        for chosen, face in ((kept, COLOURS["student"]), (~kept, "none")):
            values = saliency[order][chosen]
            right.scatter(
                at[chosen], values, 12, face, edgecolors=COLOURS["student"], linewidth=0.8
            )
        above = right.get_xaxis_transform()
        right.text(start + len(order) / 2, 1.0, group, ha="center", transform=above)
        start += len(order) + 4
    right.set(yscale="log", xticks=[], ylabel="saliency", xlabel="channels (filled: kept)")
    return figure


def _figure(width, height):
    return Figure(figsize=(width, height), layout="constrained")


def main(_):
    folder = pathlib.Path(FLAGS.output_dir)
    writable_folder(folder)
    settings = Settings(teacher_epochs=FLAGS.epochs, epochs=FLAGS.epochs, momentum=0.95)
    cascade, recorder = trained_cascade(settings)
    with matplotlib.rc_context(STYLE):
        pictures = {
            "levels": draw_levels(cascade),
            "schedule": draw_schedule(cascade, recorder),
            "masks": draw_masks(cascade),
            "saliency": draw_saliency(cascade, recorder),
        }
        for name, figure in pictures.items():
            with whole_file(folder / f"{name}.svg") as temporary:
                figure.savefig(temporary, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    app.run(main)
