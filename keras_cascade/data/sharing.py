"""How batches are divided: among the replicas of one process, and among processes."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Sharing:
    """Among whom every batch is divided, and which part of it is this process's.

    The replicas of one process divide a batch by themselves, each taking the same share, rounded
    up; TensorFlow fails where one is left with nothing. Processes are given equal parts: JAX
    takes the size of the whole batch from one part, without a word where others are smaller.

    Args:
        replicas: all of them.
        process: number of this process, from 0.
        processes: how many there are.

    Raises:
        ValueError: a number out of range, or processes with unequally many replicas.
    """

    replicas: int = 1
    process: int = 0
    processes: int = 1

    def __post_init__(self):
        for name in ("replicas", "processes"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be at least 1. Received: {getattr(self, name)}")
        if not 0 <= self.process < self.processes:
            raise ValueError(
                f"process must be one of 0 to {self.processes - 1}. Received: {self.process}"
            )
        if self.replicas % self.processes:
            raise ValueError(
                f"replicas counts those of all {self.processes} processes and must be a multiple "
                f"of their number. Received: {self.replicas}"
            )

    def fails(self, batch: int) -> bool:
        """Whether a batch of so many examples cannot be divided."""
        if self.processes > 1:
            return batch % self.replicas != 0
        return 0 < batch <= -(-batch // self.replicas) * (self.replicas - 1)

    def check(self, batch_size: int) -> None:
        """Raises ValueError for a batch that cannot be divided."""
        if self.fails(batch_size):
            raise ValueError(
                f"A batch of {batch_size} cannot be divided among {self.replicas} replicas. Take "
                f"a batch_size that is a multiple of {self.replicas}."
            )

    def largest_test_batch(self, examples: int, batch_size: int) -> int:
        """The largest size up to `batch_size` with which all batches can be divided.

        Raises:
            ValueError: there is none.
        """
        for size in range(batch_size, 0, -1):
            if not self.fails(size) and not self.fails(examples % size):
                return size
        raise ValueError(
            f"{examples} test images cannot be divided among {self.replicas} replicas."
        )

    def part(self, size) -> slice:
        """Which examples of a batch of so many (int or scalar tensor) are this process's."""
        if self.processes == 1:
            return slice(None)
        share = size // self.processes
        return slice(self.process * share, (self.process + 1) * share)
