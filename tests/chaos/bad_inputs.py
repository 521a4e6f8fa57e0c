"""What a user may get wrong, and the answer that is due: an error that says so.

Each case is a title, a piece of the answer that must be in it, and a function of an empty folder.
"""

import re

import keras
import networks
import numpy as np
import tensorflow as tf
from keras import layers

import keras_cascade as kc
from keras_cascade import data, models, recipe

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def answers(folder, say=lambda line: None):
    """Tries all cases.

    Args:
        folder: an empty folder.
        say: called with a line after each.

    Returns:
        List of dicts with `title`, `answer` (kind of error and its message) and `good`.
    """
    found = []
    for number, (title, due, give) in enumerate(CASES):
        place = folder / str(number)
        place.mkdir()
        keras.backend.clear_session()
        try:
            give(place)
            kind, message = "no error", ""
        except Exception as error:  # whatever comes is what the user would see
            kind, message = type(error).__name__, " ".join(str(error).split())
        message = message.replace(str(folder), "...")
        good = re.search(due, message) is not None
        found.append({"title": title, "answer": f"{kind}: {message}", "good": good})
        say(f"{'ok ' if good else 'BAD'} {title}")
    return found


def _model():
    return networks.small_convnet()


def _cascade(levels=(0.3,), **options):
    return kc.CascadeDistiller(
        _model(), levels, min_channels=options.pop("min_channels", 1), **options
    )


def _compiled(optimizer="sgd", loss=LOSS, trainer=None, **options):
    trainer = trainer or _cascade()
    trainer.compile(optimizer, loss, **options)
    return trainer


def _examples(count=16):
    return networks.examples_for(_model(), count)


def _fit(x=None, y=None, trainer=None, **options):
    default_x, default_y = _examples()
    x, y = default_x if x is None else x, default_y if y is None else y
    (trainer or _compiled()).fit(x, y, batch_size=8, verbose=0, **options)


def _spoiled(value):
    x = _examples()[0]
    x[3] = value
    return x


def _raising():
    def batches():
        yield _examples(8)
        raise OSError("the share with the images is gone")

    signature = tf.TensorSpec((8, 8, 8, 2)), tf.TensorSpec((8,), "int32")
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


class _Subclassed(keras.Model):
    def call(self, x):
        return x


def _two_outputs():
    inputs = keras.Input((4,))
    hidden = layers.Dense(64)(inputs)
    return keras.Model(inputs, [layers.Dense(2)(hidden), layers.Dense(2)(hidden)])


def _in_probabilities():
    model = _model()
    return keras.Model(model.inputs, layers.Softmax()(model.outputs[0]))


def _without_channels():
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(2)(inputs))


def _resumed_by_another(folder):
    one, two = _compiled(), _compiled(trainer=_without_channels(), loss="mse")
    _fit(trainer=one, callbacks=[kc.TrainingBackup(folder)])
    kc.TrainingBackup(folder).restore(two)


def _stem(mask):
    return {"stem": np.array(mask)}


CASES = [
    # Models
    ("a subclassed model", "subclassed model", lambda _: kc.CascadeDistiller(_Subclassed())),
    ("no model at all", "Expected a keras.Model", lambda _: kc.prune("resnet50", 0.5)),
    (
        "an unbuilt Sequential",
        "not built",
        lambda _: kc.prune(keras.Sequential([layers.Dense(3)]), 0.5),
    ),
    ("a model with two outputs", "one is needed", lambda _: kc.CascadeDistiller(_two_outputs())),
    ("nothing that can be pruned", "can be pruned", lambda _: kc.prune(_without_channels(), 0.5)),
    (
        "an unknown name of a model",
        "Unknown model",
        lambda _: models.build_model("resnet9000", (32, 32, 3), 10),
    ),
    # Levels and options of a cascade
    ("a level of 0", "between 0 and 1", lambda _: _cascade((0.0,))),
    ("a level in percent", "between 0 and 1", lambda _: _cascade((50,))),
    ("levels that fall", "strictly increasing", lambda _: _cascade((0.6, 0.3))),
    ("no levels", "strictly increasing", lambda _: _cascade(())),
    ("levels that are text", "must be numbers", lambda _: _cascade("half")),
    ("a level beyond reach", "at most", lambda _: _cascade((0.99,), min_channels=4)),
    ("alpha = 1", "alpha must lie", lambda _: _cascade(alpha=1.0)),
    ("a temperature of 0", "temperature must be", lambda _: _cascade(temperature=0.0)),
    ("momentum = 1", "momentum must lie", lambda _: _cascade(momentum=1.0)),
    ("an unknown guidance", "use cascade, dense, teacher", lambda _: _cascade(guidance="mutual")),
    ("an unknown budget", "Unknown budget", lambda _: _cascade(budget="flops")),
    ("an unknown scope", "Unknown scope", lambda _: _cascade(scope="local")),
    ("round_to = 0", "round_to must be", lambda _: _cascade(round_to=0)),
    # Compiling
    ("a loss that knows no classes", "No KL divergence", lambda _: _compiled(loss="mse")),
    (
        "gradient accumulation",
        "gradient_accumulation_steps",
        lambda _: _compiled(keras.optimizers.SGD(gradient_accumulation_steps=2)),
    ),
    (
        "moving averages of weights",
        "use_ema",
        lambda _: _compiled(keras.optimizers.SGD(use_ema=True)),
    ),
    # Fitting
    ("labels outside the classes", "labels outside the classes", lambda _: _fit(y=np.full(16, 9))),
    ("negative labels", "labels outside the classes", lambda _: _fit(y=np.full(16, -1))),
    (
        "one-hot labels of a loss of class numbers",
        "one-hot.*Use categorical_crossentropy",
        lambda _: _fit(y=np.eye(4, dtype=np.float32).repeat(4, axis=0)),
    ),
    ("NaN in an image", "The loss became nan", lambda _: _fit(_spoiled(np.nan))),
    ("an infinite pixel", "(?i)nan|inf", lambda _: _fit(_spoiled(np.inf))),
    (
        "no labels",
        "training data has no labels",
        lambda _: _compiled().fit(_examples()[0], verbose=0),
    ),
    (
        "no labels in validation",
        "validation data has no labels",
        lambda _: _fit(validation_data=tf.data.Dataset.from_tensor_slices(_examples()[0]).batch(8)),
    ),
    (
        "an empty data set",
        "(?i)empty|no batch|no data",
        lambda _: _compiled().fit(
            tf.data.Dataset.from_tensor_slices(_examples()).take(0).batch(8), verbose=0
        ),
    ),
    ("a pipeline that fails", "images is gone", lambda _: _compiled().fit(_raising(), verbose=0)),
    (
        "pruning that ends before it begins",
        "begin must come before",
        lambda _: kc.CascadeCallback(0.6, 0.3),
    ),
    ("a frequency of 0", "frequency must be", lambda _: kc.CascadeCallback(frequency=0)),
    (
        "a CascadeCallback on a plain model",
        "Wrap the model",
        lambda _: _fit(trainer=_compiled(trainer=_model()), callbacks=[kc.CascadeCallback()]),
    ),
    # Masks
    ("an unknown level", "No level", lambda _: _cascade().extract("ta7")),
    (
        "masks of the teacher",
        "never removed|has no masks|nothing of it",
        lambda _: _cascade().set_masks(0, {}),
    ),
    (
        "a group that is not there",
        "no channel group",
        lambda _: kc.masked_view(_model(), {"stern": np.ones(6)}),
    ),
    (
        "a mask of wrong length",
        "needs one value a channel",
        lambda _: kc.masked_view(_model(), _stem([True, False])),
    ),
    (
        "a mask that keeps nothing",
        "keep at least one",
        lambda _: kc.masked_view(_model(), _stem([False] * 6)),
    ),
    (
        "a mask of fractions",
        "must be boolean",
        lambda _: kc.masked_view(_model(), _stem([0.5] * 6)),
    ),
    (
        "masks that are broken text",
        "(?i)json|text",
        lambda _: kc.ChannelGraph(_model()).masks_from_json('{"groups"'),
    ),
    # One shot
    ("an amount above 1", "between 0 and 1", lambda _: kc.prune(_model(), 1.5)),
    (
        "an unknown criterion",
        "Unknown criterion",
        lambda _: kc.prune(_model(), 0.3, criterion="l3"),
    ),
    (
        "Taylor scores without data",
        r"needs data=\(x, y\)",
        lambda _: kc.prune(_model(), 0.3, criterion="taylor"),
    ),
    (
        "Taylor scores of no examples",
        "data is empty",
        lambda _: kc.prune(
            _model(), 0.3, criterion="taylor", data=(np.zeros((0, 8, 8, 2)), np.zeros(0)), loss=LOSS
        ),
    ),
    # Distillation
    (
        "other classes than the teacher's",
        "the same classes",
        lambda _: kc.Distiller(networks.small_convnet(classes=3), _model()),
    ),
    (
        "logits beside probabilities",
        "end alike",
        lambda _: kc.Distiller(_model(), _in_probabilities()),
    ),
    (
        "Keras' distillation loss of raw logits",
        "gives it logits",
        lambda _: kc.Distiller(
            _model(), _model(), distillation=keras.distillation.LogitsDistillation()
        ),
    ),
    # Weight pruning
    (
        "a sparsity above 1",
        "sparsity",
        lambda _: kc.prune_weights(_model(), 1.5, data=_examples(), epochs=1),
    ),
    (
        "a guard of a dense model",
        "no sparsity to keep",
        lambda _: _fit(trainer=_compiled(trainer=_model()), callbacks=[kc.SparsityGuard()]),
    ),
    # States and files
    ("a state of another model", "is of another model", _resumed_by_another),
    ("states every 0 steps", "every must be", lambda folder: kc.TrainingBackup(folder, every=0)),
    (
        "a folder that cannot be made",
        "No backup could be written",
        lambda _: _fit(callbacks=[kc.TrainingBackup("/proc/states")]),
    ),
    # The recipe and its data
    ("an unknown strategy", "Unknown strategy", lambda _: recipe.distribution_scope("horovod")),
    ("no replicas", "Unknown strategy", lambda _: recipe.distribution_scope("mirrored:0")),
    (
        "a data set that nobody knows",
        "(?i)unknown|not found",
        lambda folder: data.load("cifar11", batch_size=8, data_dir=folder),
    ),
    (
        "a data_dir that is no folder",
        "not a folder",
        lambda folder: data.load("cifar10", batch_size=8, data_dir=folder / "no"),
    ),
    ("batches of 0", "at least 1", lambda _: data.load("digits", batch_size=0)),
    ("a learning rate of 0", "must be above 0", lambda _: recipe.Settings(learning_rate=0.0)),
    (
        "an accuracy in percent",
        "not percent",
        lambda _: kc.performance_efficiency(92.0, 50, original_accuracy=0.9, original_params=100),
    ),
]
