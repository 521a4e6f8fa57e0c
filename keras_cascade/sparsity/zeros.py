"""Whether a tensor has the zeros that were asked of TF-MOT."""

import dataclasses
import math

import numpy as np

_TOLERANCE = 0.005


@dataclasses.dataclass(frozen=True)
class Pattern:
    """Which zeros are asked of every pruned tensor.

    Attributes:
        sparsity: fraction of entries, or of blocks, that are zero.
        block_size: (height, width) of the blocks in which zeros come.
        two_by_four: whether two in every four weights along the input channels are zero.
    """

    sparsity: float
    block_size: tuple = (1, 1)
    two_by_four: bool = False

    def __post_init__(self):
        if not 0.0 < self.sparsity < 1.0:
            raise ValueError(f"sparsity must lie in (0, 1), got {self.sparsity}.")
        if self.two_by_four and self.sparsity != 0.5:
            raise ValueError(
                f"two_by_four takes half of the weights: sparsity=0.5, not {self.sparsity}."
            )
        if self.two_by_four and self.block_size != (1, 1):
            raise ValueError("Zeros come two by four or in blocks, not both.")

    def check_shapes(self, name, shapes):
        """Raises ValueError where TF-MOT would, naming the layer.

        Args:
            name: the layer's.
            shapes: of its weights that would be pruned.
        """
        ranks = {len(shape) for shape in shapes}
        if self.two_by_four and not ranks <= {2, 4}:
            reason = "two_by_four prunes weights with 2 or 4 dimensions"
        elif self.block_size != (1, 1) and ranks != {2}:
            reason = f"blocks of {self.block_size} need weights with 2 dimensions"
        else:
            return
        raise ValueError(
            f"{reason}; those of layer '{name}' have shapes {shapes}. Leave it dense: "
            f"keep=['{name}']."
        )

    def check_zeros(self, name, weight, mask):
        """Raises unless a weight has the zeros that were asked for.

        A weight may have more zeros than its mask (a constraint makes some), a mask may not.

        Args:
            name: the layer's.
            weight, mask: arrays of one shape.

        Raises:
            RuntimeError: zeros are missing, or masked without being asked for.
        """
        if self.two_by_four:
            # Along the input channels, the last axis but one.
            rows = np.moveaxis(weight, -2, -1).reshape(-1, weight.shape[-2])
            wrong = (np.count_nonzero(in_blocks(rows, (1, 4)), axis=-1) > 2).any()
            found = "more than two non-zeros in four"
        else:
            zeros, masked = self._share(weight), self._share(mask)
            tolerance = max(_TOLERANCE, math.prod(self.block_size) / weight.size)
            wrong = zeros < self.sparsity - tolerance or masked > self.sparsity + tolerance
            found = f"{zeros:.2%} zeros instead of {self.sparsity:.2%}"
        if wrong:
            raise RuntimeError(
                f"Layer '{name}' has {found} after training. A schedule of TF-MOT's must end at "
                "that sparsity, any other at 1, and before training ends. TF-MOT does not mask "
                "what is zero already, by a constraint or as it was pruned further before."
            )

    def _share(self, weight):
        """The share of blocks without a non-zero."""
        matrix = weight if weight.ndim == 2 else weight.reshape(1, -1)
        return float((in_blocks(matrix, self.block_size) == 0.0).all(axis=-1).mean())


def in_blocks(matrix, block_size):
    """The entries of each block of a matrix, zeros beyond its edge: shape `(blocks, entries)`."""
    height, width = block_size
    rows, columns = (-(-size // step) for size, step in zip(matrix.shape, block_size, strict=True))
    padded = np.zeros((rows * height, columns * width), matrix.dtype)
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    blocks = padded.reshape(rows, height, columns, width).swapaxes(1, 2)
    return blocks.reshape(rows * columns, height * width)
