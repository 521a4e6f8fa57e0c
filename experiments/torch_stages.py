"""The stages of the outside baseline: teacher, sparse learning, pruning, fine-tuning.

Only this file knows the library that is compared with, Torch-Pruning.
"""

import json
import pathlib
import sys
import time

import torch
from torch_networks import NETWORKS, count_macs, count_params, example_image
from torch_training import Stage, accuracy_on_test, read_torch, train, write_torch

# In the folder of these files `import torch_pruning` would find the script of that name.
_HERE, _PATHS = pathlib.Path(__file__).resolve().parent, sys.path
sys.path = [entry for entry in _PATHS if pathlib.Path(entry).resolve() != _HERE]
import torch_pruning as tp  # noqa: E402

sys.path = _PATHS

# The settings that each stage's result depends on, besides those of the stages before it.
STAGE_SETTINGS = {
    "teacher": (
        *("network", "width", "dataset", "data_crc32", "max_train_examples", "image_size"),
        *("batch_size", "weight_decay", "teacher_epochs", "learning_rate"),
    ),
    "sparse": ("sparse_epochs", "sparse_learning_rate", "regularization"),
    "fine_tune": ("iterative_steps", "fine_tune_epochs", "prune_learning_rate"),
}


class CannotReachError(Exception):
    """Torch-Pruning cannot remove so many MACs."""


class Run:
    """The stages of one seed. Teacher and sparse network are trained once and kept as files.

    Args:
        images: `Images`.
        seed: of initial weights, data order and augmentation.
        settings: dict with all that `STAGE_SETTINGS` names.
        folder: `pathlib.Path` of the folder for files.
        say: function that shows a line of progress.
    """

    def __init__(self, images, seed, settings, folder, say):
        self._images, self._seed, self._settings, self._say = images, seed, settings, say
        self._prefix = folder / f"{settings['network']}@{settings['width']:g}_{images.name}_{seed}"
        self._recipes, recipe = {}, {"seed": seed}
        for stage, names in STAGE_SETTINGS.items():
            recipe = {**recipe, **{name: settings[name] for name in names}}
            self._recipes[stage] = recipe

    def result(self, amount):
        """Removes a fraction of the MACs and trains on.

        Args:
            amount: in (0, 1), of the MACs as the library counts them.

        Returns:
            Dict of what an output line says about accuracy, sizes and epochs.

        Raises:
            CannotReachError: the library does not get there.
            ValueError: files of other settings are in the way, or the loss became NaN.
        """
        teacher = self._kept("teacher", self._train_teacher)
        sparse = self._kept("sparse", lambda: self._train_sparse(teacher))
        network, started = self._network(sparse), time.monotonic()
        prune_to(network, self._images.shape, amount, self._settings["iterative_steps"])
        seconds = time.monotonic() - started
        network.to(self._images.train.device)
        before = accuracy_on_test(network, self._images)
        self._say(f"    {amount:.0%} of the MACs removed: {before:.2%} before fine-tuning")
        state = self._file(f"{amount:g}_fine_tune.state")
        history = self._train(network, "fine_tune", "prune_learning_rate", state_file=state)
        state.unlink(missing_ok=True)
        epochs = sparse["history"] + history
        sizes = measured_sizes(network, self._images.shape)
        return {
            "accuracy": accuracy_on_test(network, self._images),
            "teacher_accuracy": teacher["accuracy"],
            "sparse_accuracy": sparse["accuracy"],
            "accuracy_before_fine_tuning": before,
            **sizes,
            "nonzero_params": sizes["params"],
            **{f"teacher_{name}": size for name, size in teacher["sizes"].items()},
            "epochs": teacher["history"] + epochs,
            "seconds": round(seconds + sum(epoch["seconds"] for epoch in epochs), 2),
        }

    def _train_teacher(self):
        torch.manual_seed(self._seed)
        network = self._network()
        network.to(self._images.train.device)
        return network, self._train(network, "teacher", "learning_rate")

    def _train_sparse(self, teacher):
        network = self._network(teacher).to(self._images.train.device)
        pruner = group_norm_pruner(
            network, self._images.shape, reg=self._settings["regularization"]
        )
        pruner.update_regularizer()
        # The authors have no other decay beside this one.
        history = self._train(
            network, "sparse", "sparse_learning_rate", 0.0, lambda: pruner.regularize(network)
        )
        return network, history

    def _network(self, kept=None):
        """A network of the whole size on the CPU, with the weights that were kept."""
        make = NETWORKS[self._settings["network"]]
        network = make(self._images.shape, self._images.classes, self._settings["width"])
        if kept is not None:
            network.load_state_dict(kept["weights"])
        return network

    def _train(self, network, name, rate, weight_decay=None, regularize=None, state_file=None):
        if weight_decay is None:
            weight_decay = self._settings["weight_decay"]
        stage = Stage(
            name,
            epochs=self._settings[f"{name}_epochs"],
            learning_rate=self._settings[rate],
            batch_size=self._settings["batch_size"],
            weight_decay=weight_decay,
            seed=self._seed,
        )
        self._say(f"    {name}: {stage.epochs} epochs ...")
        state_file = state_file or self._file(f"{name}.state")
        return train(network, self._images, stage, regularize, state_file, self._recipes[name])

    def _kept(self, stage, make):
        """The weights and figures of a stage, from its file; it is made now if it is not there."""
        path, recipe = self._file(stage), self._recipes[stage]
        if not path.exists():
            network, history = make()
            accuracy = accuracy_on_test(network, self._images)
            self._say(f"    {stage}: {accuracy:.2%}")
            kept = {
                "recipe": recipe,
                "weights": network.state_dict(),
                "accuracy": accuracy,
                "sizes": measured_sizes(network, self._images.shape),
                "history": history,
            }
            write_torch(path, kept)
            self._file(f"{stage}.state").unlink(missing_ok=True)
        kept = read_torch(path)
        different = differences(kept["recipe"], recipe)
        if different:
            raise ValueError(
                f"'{path}' was made with other settings ({different}): choose another --output, or "
                "delete it."
            )
        return kept

    def _file(self, ending):
        return self._prefix.with_name(f"{self._prefix.name}_{ending}.pt")


def differences(there, here):
    """What two dicts of settings differ in, in words; "" where they are the same."""
    there, here = (json.loads(json.dumps(settings)) for settings in (there, here))
    return "; ".join(
        f"{name} {there.get(name)} there, {here.get(name)} here"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    )


def group_norm_pruner(network, image_shape, iterative_steps=400, reg=5e-4):
    """The library's pruner, set up as its authors do for CIFAR.

    Every channel would be gone after all its steps. Norms are divided by the largest of their
    group, and the classifier's outputs stay.
    """
    return tp.pruner.GroupNormPruner(
        network,
        example_image(network, image_shape),
        importance=tp.importance.GroupMagnitudeImportance(p=2, normalizer="max"),
        reg=reg,
        global_pruning=True,
        pruning_ratio=1.0,
        iterative_steps=iterative_steps,
        ignored_layers=[network.logits],
    )


def prune_to(network, image_shape, amount, iterative_steps=400):
    """Removes channels step by step, in place, until so large a fraction of the MACs is gone.

    Args:
        network: one of `NETWORKS`.
        image_shape: (height, width, channels) of one image.
        amount: in (0, 1), of the MACs as the library counts them.
        iterative_steps: each step removes one part in so many of all channels.

    Raises:
        CannotReachError: it is not reached after all steps.
    """
    network.eval()
    pruner = group_norm_pruner(network, image_shape, iterative_steps)
    whole = present = library_macs(network, image_shape)
    while present > (1.0 - amount) * whole:
        if pruner.current_step == iterative_steps:
            raise CannotReachError(
                f"Torch-Pruning removes {1 - present / whole:.1%} of the MACs at most, and not "
                f"{amount:.1%}: take a smaller amount or a wider network."
            )
        pruner.step()
        present = library_macs(network, image_shape)


def library_macs(network, image_shape):
    """MACs as the library counts them: normalisation, activations, pooling and biases too."""
    return int(tp.utils.count_ops_and_params(network, example_image(network, image_shape))[0])


def measured_sizes(network, image_shape):
    """Dict of params, macs (of convolutions and dense layers) and tp_macs (of the library)."""
    return {
        "params": count_params(network),
        "macs": count_macs(network, image_shape),
        "tp_macs": library_macs(network, image_shape),
    }
