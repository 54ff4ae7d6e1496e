"""Writing a file so that nothing half-written ever has its final name."""

import os
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
        if _is_stream(path):
            with path.open("ab") as stream:  # what stands behind /dev/stdout already holds what the shell wrote
                stream.write(data)
        else:
            _replace(Path(os.path.realpath(path)), data)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({error.strerror or error})") from error


def _is_stream(path: Path) -> bool:
    # What is in /dev may lead to a file that the shell holds open: to replace it would lose what follows.
    return path.is_relative_to("/dev") or (path.exists() and not path.is_file() and not path.is_dir())


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
    """Refuse to write a result over the file that it comes from, however either is spelled; None is no file.

    Raises:
        UsageError: An output is an input.
    """
    read = {os.path.realpath(path) for path in inputs if path is not None}
    for path in outputs:
        if path is not None and os.path.realpath(path) in read:
            raise UsageError(f"{path}: is read too, and would be overwritten")
