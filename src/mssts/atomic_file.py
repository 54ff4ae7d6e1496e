"""Writing a file so that nothing half-written ever has its final name."""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mssts.errors import ResourceError, UsageError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file beside its final name, bring it to the disk, and rename it; its folder is made if need be.

    A link stays a link: the file that it leads to is replaced. Pipes and devices, such as /dev/stdout, have nothing to
    replace and are written to.

    Raises:
        ResourceError: It cannot be written; whatever stood at the path before still does.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        descriptor = _descriptor(path)
        if descriptor is not None:
            _write_to(descriptor, data)
        elif path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
        else:
            _replace(Path(os.path.realpath(path)), data)
    except (OSError, ValueError) as error:  # ValueError: the root folder, or a name with a NUL
        reason = getattr(error, "strerror", None) or error
        raise ResourceError(f"{path}: cannot be written ({reason})") from error


def _descriptor(path: Path) -> int | None:
    """The number of the open file that a path such as /dev/stdout stands for."""
    if path.parent == Path("/dev"):
        return {"stdin": 0, "stdout": 1, "stderr": 2}.get(path.name)
    is_number = path.parent in (Path("/dev/fd"), Path("/proc/self/fd")) and path.name.isdecimal()
    return int(path.name) if is_number else None


def _write_to(descriptor: int, data: bytes) -> None:
    """Write where the process itself would write next: opened anew, a file of the shell's would be written over."""
    sys.stdout.flush()
    sys.stderr.flush()
    with open(os.dup(descriptor), "wb") as stream:
        stream.write(data)


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise


def refuse_overwriting(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Refuse to write a result over the file that it comes from or over another one; None is no file.

    Raises:
        UsageError: An output is an input, or two outputs are one file, however they are spelled.
    """
    read = {os.path.realpath(path) for path in inputs if path is not None}
    written: set[str] = set()
    for path in outputs:
        if path is None or _descriptor(path) is not None:
            continue
        place = os.path.realpath(path)
        if place in read:
            raise UsageError(f"{path}: is read too, and would be overwritten")
        if place in written:
            raise UsageError(f"{path}: two outputs would be written there")
        written.add(place)
