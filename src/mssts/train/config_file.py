"""Configuration files, looked over before the parser sees them: it would take some faults for what was meant."""

import json
from collections.abc import Hashable
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from mssts.errors import BadInputError
from mssts.train.config import TrainConfig


def read_config_file(path: Path) -> dict[str, Any]:
    """A configuration file as plain values, whose names are not all known to be options yet.

    Raises:
        BadInputError: The file cannot be read, says something twice, or leaves empty what needs a value.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader)
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise BadInputError(f"{path}: cannot be read as a configuration ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise BadInputError(f"{path}: a configuration is a mapping from names to values")
    try:
        json.dumps(content, default=str)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{path}: a value holds itself, or values are nested too deeply") from error
    if "config" in content:
        raise BadInputError(f"{path}: a configuration cannot name another; give --config several times")
    _check_values(path, content, TrainConfig)
    return content


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a mapping with the same name twice, of which YAML would silently keep the second."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Construct one mapping of the file."""
        names = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in names:
                raise yaml.YAMLError(f"{key.value} is given twice, again in line {key.start_mark.line + 1}")
            names.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


def _check_values(path: Path, content: dict[str, Any], section: type, prefix: str = "") -> None:
    """Refuse a section that is none, and nothing where the default is something."""
    for item in fields(section):
        if item.name not in content:
            continue
        name, value = prefix + item.name, content[item.name]
        if isinstance(item.type, type) and is_dataclass(item.type):
            if not isinstance(value, dict):
                raise BadInputError(f"{path}: {name} is a section, a mapping from names to values")
            _check_values(path, value, item.type, f"{name}.")
        elif value == "" or (value is None and item.default is not None and item.default is not MISSING):
            raise BadInputError(f"{path}: {name} is empty")
