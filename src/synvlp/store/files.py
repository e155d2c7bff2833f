"""Writing a file whole or not at all, and reading what was written."""

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# What a file system says that cannot reserve room.
_NOT_OFFERED = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
_AT_A_TIME = 1 << 20


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the name `path`, on error it is removed.

    A reader, or a run after a kill, sees the old file or the new one and never a part of either.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class _Written:
    """A file to write into that remembers why it could not be written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


@contextlib.contextmanager
def written(path: Path) -> Iterator[_Written]:
    """Open `path` for a library that writes into a file; on a full disk OSError says so, whatever the library says.

    Given a path, or a file that NumPy knows, torch and NumPy raise errors of their own without the system's reason.
    """
    with path.open("wb") as file:
        watched = _Written(file)
        try:
            yield watched
        except Exception as error:
            if watched.error is None or error is watched.error:
                raise
            raise watched.error from None


def reserve(path: Path) -> None:
    """Give a file that may have holes all the room that its size says. Raises OSError if the disk is too full.

    Without it a process that writes into a memory map of the file is killed (SIGBUS) when the disk is full.
    """
    size = path.stat().st_size
    with path.open("rb+") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except (AttributeError, OSError) as error:
            # Some systems have no such call, and some file systems do not offer it: there the holes are filled.
            if isinstance(error, OSError) and error.errno not in _NOT_OFFERED:
                raise
            _fill(file, size)


def _fill(file: BinaryIO, size: int) -> None:
    """Write what a file holds over itself, so that it has no holes."""
    for start in range(0, size, _AT_A_TIME):
        file.seek(start)
        data = file.read(_AT_A_TIME)
        file.seek(start)
        file.write(data)
    file.flush()
    os.fsync(file.fileno())


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole."""
    with replacing(path) as part:
        part.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON with sorted keys, so that equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> object:
    """The value that a JSON file holds."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def checksum(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
