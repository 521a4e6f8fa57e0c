"""The grid of a study: which networks, data sets, methods, amounts and seeds, as a list of cells.

Cells come in the order in which they are run: all that share a teacher follow one another.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping

from keras_cascade.study.methods import METHODS, TEACHERS
from keras_cascade.study.variants import Variant


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training of one method.

    Attributes:
        model: network, as `Grid.models` names it.
        dataset: data set.
        method: a name in `METHODS` or of a variant.
        amount: fraction of the budget to remove or, of params, to set to zero; 0.0 for the dense
            methods.
        seed: of weights, data order and augmentation.
    """

    model: str
    dataset: str
    method: str
    amount: float
    seed: int

    @property
    def teacher(self) -> tuple[str, str, int]:
        """What names this cell's teacher: (model, dataset, seed)."""
        return self.model, self.dataset, self.seed

    def __str__(self) -> str:
        amount = f" {self.amount:g}" if self.amount else ""
        return f"{self.dataset} {self.model} {self.method}{amount} seed {self.seed}"


@dataclasses.dataclass(frozen=True)
class Grid:
    """What a study compares.

    Attributes:
        models: names as `models.build_model` takes them, each with `@width` behind it where the
            width is not 1: "resnet20@0.5".
        datasets: names as `data.load` takes them.
        methods: names in `METHODS` or `variants`.
        amounts: fractions of the budget, in (0, 1).
        seeds: integers of at least 0.
        variants: dict from further names to a `Variant`.

    Raises:
        ValueError: something listed twice or not at all, an unknown method, an amount or a width
            out of range.

    Example:
        >>> grid = Grid(("vgg16@0.25",), ("digits",), ("dense", "weight_pruning"), (0.5,), (0, 1))
        >>> len(grid.cells())
        4
    """

    models: tuple[str, ...]
    datasets: tuple[str, ...]
    methods: tuple[str, ...]
    amounts: tuple[float, ...]
    seeds: tuple[int, ...]
    variants: Mapping[str, Variant] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("models", "datasets", "methods", "amounts", "seeds"):
            values = getattr(self, name)
            if not values:
                raise ValueError(f"{name} is empty; a study needs at least one.")
            if len(set(values)) < len(values):
                raise ValueError(f"{name} lists something twice: {', '.join(map(str, values))}.")
        unknown = [name for name in self.methods if self.variant(name).method not in METHODS]
        if unknown:
            raise ValueError(
                f"Unknown method {', '.join(map(repr, unknown))}. Known methods: "
                f"{', '.join([*METHODS, *self.variants])}."
            )
        for amount in self.amounts:
            if not 0.0 < amount < 1.0:
                raise ValueError(
                    f"amounts must lie in (0, 1), as fractions of the budget; got {amount}."
                )
        for seed in self.seeds:
            if seed < 0:
                raise ValueError(f"seeds must be at least 0; got {seed}.")
        for model in self.models:
            name_and_width(model)

    def variant(self, method: str) -> Variant:
        """The variant of that name, or the method as it is."""
        return self.variants.get(method) or Variant(method)

    def cells(self) -> list[Cell]:
        """All cells, in the order to run them in."""
        cells = []
        for dataset, model, seed in itertools.product(self.datasets, self.models, self.seeds):
            for method in self.methods:
                dense = self.variant(method).method in TEACHERS
                amounts = (0.0,) if dense else self.amounts
                cells += [Cell(model, dataset, method, amount, seed) for amount in amounts]
        return cells


def name_and_width(model):
    """Takes "resnet20@0.5" apart.

    Args:
        model: as in `Grid.models`.

    Returns:
        Pair of the network's name and its width.

    Raises:
        ValueError: what stands behind the @ is no number above 0.

    Example:
        >>> name_and_width("resnet20@0.5"), name_and_width("vgg16")
        (('resnet20', 0.5), ('vgg16', 1.0))
    """
    name, _, width = model.partition("@")
    try:
        value = float(width or 1.0)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"Width '{width}' of '{model}' must be a number above 0: resnet20@0.5.")
    return name, value
