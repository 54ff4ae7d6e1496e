"""Files that travel with the package: the `tiny` checkpoint and the demo clip."""

from pathlib import Path


def asset_path(name: str) -> Path:
    """The path of a bundled file."""
    return Path(__file__).parent / name
