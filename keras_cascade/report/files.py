"""Files that are whole or not there, and where those that are kept for the next time lie."""

import contextlib
import errno
import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from keras_cascade.typing import Path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[pathlib.Path]:
    """Has a file written in a hidden folder beside it, and moves it to its place at the end.

    After an error nothing of it is left, and what was there before still is. Of several that write
    one file at once, the last to end wins, with a whole one. Who may read or write a file that is
    replaced, may the new one.

    Args:
        path: of the file.

    Yields:
        The temporary `pathlib.Path`, of the same name, to be written within the block.

    Raises:
        OSError: the folder is not there, or cannot be written, or the path is one of a folder.

    Example:

    ```python
    with whole_file("results.csv") as temporary:
        temporary.write_text("seed,accuracy\\n")
    ```
    """
    name, path = pathlib.Path(path).name, pathlib.Path(path).resolve()  # links stay links
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "There is a folder where a file is to be", str(path))
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".tmp_") as folder:
        temporary = pathlib.Path(folder, name)
        yield temporary
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)


def sha256_of(path: pathlib.Path) -> str:
    """The SHA-256 digest of a file's bytes, in hexadecimal digits.

    Args:
        path: `pathlib.Path` of the file.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> pathlib.Path:
    """Where things are kept that would be made anew: `keras_cascade` in the user's cache folder.

    That is the environment's XDG_CACHE_HOME, by default `~/.cache`. It need not exist.
    """
    folder = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(folder, "keras_cascade")
