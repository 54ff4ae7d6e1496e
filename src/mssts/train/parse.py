"""From command line and YAML file to a `TrainConfig`: `--config FILE`, dotted overrides, `--print_config`."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from mssts.config import preset, preset_names
from mssts.errors import BadInputError, UsageError
from mssts.train.config import TrainConfig

DEFAULT_PRESET = "r50"


def parse_train_config(arguments: Sequence[str]) -> TrainConfig:
    """Read a training's configuration; leaves with exit code 2 and one line on a usage error.

    Options given on the command line win over the file, which wins over the preset's and the recipe's defaults.

    Raises:
        BadInputError: A configuration file cannot be read, or what it says cannot be.
        UsageError: There is no preset of the name.
    """
    arguments = _join_data([_with_underscores(argument) for argument in arguments])
    arguments += _unset_other_length(arguments)
    parser = make_parser(_preset_of(arguments))
    _check_files(parser, _values(arguments, "--config"))
    try:
        settings = parser.instantiate(parser.parse_args(arguments))
        return TrainConfig(**{item.name: settings[item.name] for item in fields(TrainConfig)})
    except (ArgumentError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {_reason(error)} (options: {parser.prog} --help)\n")
        raise AssertionError from error


def make_parser(preset_name: str) -> ArgumentParser:
    """The options, with a preset's model as default."""
    parser = ArgumentParser(
        prog="mssts train",
        usage="mssts train [--config FILE] [--data DIR ...] [OPTION ...]",
        description="Train a model on YouTube-VIS-format, COCO or synthetic data. Options may be spelled with - or _.",
        epilog="for example: mssts train --config configs/tiny.yaml --out runs/mine --steps 200 --init tiny",
        exit_on_error=False,
    )
    parser.add_argument("--config", action="config", metavar="FILE", help="YAML file with any of the options below")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_class_arguments(TrainConfig, None)
    parser.set_defaults({"preset": preset_name, "model": asdict(preset(preset_name))})
    return parser


def _check_files(parser: ArgumentParser, paths: Sequence[str]) -> None:
    """Read each configuration file by itself, so that a fault in it is told with its name.

    Raises:
        BadInputError: A file names an option that there is not, or gives one a value of the wrong type.
    """
    for path in paths:
        try:
            parser.parse_args([f"--config={path}"])
        except (ArgumentError, ValueError) as error:
            raise BadInputError(f"{path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What the parser complains of, in one line; of a value, which option's it is and what was expected."""
    text = " ".join(str(error).split())
    key, value = re.search(r'key "([\w.]+)"', text), re.search(r"(?:Given|Got) value: '?([^\s']+)", text)
    expected = re.findall(r"Expected an? <class '(\w+)'>", text)
    if not (key and value and expected):
        return text
    yaml_names = {"NoneType": "null", "tuple": "list"}
    kinds = dict.fromkeys(yaml_names[kind] if kind in yaml_names else str(kind) for kind in expected)
    return f"{key[1]}: {value[1]!r} is not of type {' or '.join(kinds)}"


def _preset_of(arguments: Sequence[str]) -> str:
    """The preset that the options or the configuration file name, before the options are fully understood."""
    there_are = f"there are {', '.join(preset_names())}"
    name = DEFAULT_PRESET
    for path in _values(arguments, "--config"):
        name = str(_read_yaml(Path(path)).get("preset", name))
        if name not in preset_names():
            raise BadInputError(f"{path}: no preset '{name}'; {there_are}")
    name = next(reversed([name, *_values(arguments, "--preset")]))
    if name not in preset_names():
        raise UsageError(f"train: no preset '{name}'; {there_are}")
    return name


def _values(arguments: Sequence[str], option: str) -> list[str]:
    """All values that an option is given, in either form."""
    followed = [after for before, after in pairwise(arguments) if before == option]
    return followed + [argument.split("=", 1)[1] for argument in arguments if argument.startswith(option + "=")]


def _read_yaml(path: Path) -> dict[str, Any]:
    """A configuration file as plain values."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise BadInputError(f"{path}: cannot be read as a configuration ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise BadInputError(f"{path}: a configuration is a mapping from names to values")
    try:
        json.dumps(content, default=str)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{path}: a value holds itself, or values are nested too deeply") from error
    for item in fields(TrainConfig):
        if is_dataclass(item.type) and not isinstance(content.get(item.name, {}), dict):
            raise BadInputError(f"{path}: {item.name} is a section, a mapping from names to values")
    return content


def _with_underscores(argument: str) -> str:
    """`--num-nodes` as the field it means, `--num_nodes`."""
    name = re.match(r"--[\w.-]+", argument)
    return argument if name is None else "--" + name[0][2:].replace("-", "_") + argument[name.end() :]


def _unset_other_length(arguments: Sequence[str]) -> list[str]:
    """A length on the command line replaces that of a file, which may be given the other way."""
    epochs, steps = _values(arguments, "--epochs"), _values(arguments, "--steps")
    return (["--epochs=null"] if steps and not epochs else []) + (["--steps=null"] if epochs and not steps else [])


def _join_data(arguments: Sequence[str]) -> list[str]:
    """Several `--data FOLDER` as the one list that the parser wants."""
    folders = _values(arguments, "--data")
    if not folders:
        return list(arguments)
    rest: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if not (argument.startswith("--data=") or argument == "--data" or before == "--data"):
            rest.append(argument)
    return [*rest, "--data=" + json.dumps(folders)]
