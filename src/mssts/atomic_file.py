"""Writing a file so that nothing half-written ever has its final name."""

import os
from contextlib import suppress
from pathlib import Path

from mssts.errors import ResourceError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file beside its final name, bring it to the disk, and rename it; its folder is made if need be.

    Raises:
        ResourceError: It cannot be written; whatever stood at the path before still does.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise ResourceError(f"{path}: cannot be written ({error.strerror or error})") from error
