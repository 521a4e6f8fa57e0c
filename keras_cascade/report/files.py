"""Files that are whole or not there."""

import contextlib
import hashlib
import pathlib
from collections.abc import Iterator

from keras_cascade.typing import Path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[pathlib.Path]:
    """Has a file written under a temporary name in the same folder and renames it at the end.

    After an error nothing of it is left, and what was there before still is.

    Args:
        path: of the file.

    Yields:
        The temporary `pathlib.Path`, to be written within the block.

    Example:

    ```python
    with whole_file("results.csv") as temporary:
        temporary.write_text("seed,accuracy\\n")
    ```
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256_of(path: pathlib.Path) -> str:
    """The SHA-256 digest of a file's bytes, in hexadecimal digits.

    Args:
        path: `pathlib.Path` of the file.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
