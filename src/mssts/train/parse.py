"""From command line and YAML file to a `TrainConfig`: `--config FILE`, dotted overrides, `--print_config`."""

import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from mssts.config import preset, preset_names
from mssts.errors import BadInputError, UsageError
from mssts.train.arguments import arrange, values
from mssts.train.config import TrainConfig
from mssts.train.config_file import read_config_file

DEFAULT_PRESET = "r50"


class _TrainParser(ArgumentParser):
    """Its help is without the lines that say nothing to who trains."""

    def format_help(self, *args: Any, **options: Any) -> str:
        """The options, for reading."""
        text = super().format_help(*args, **options)
        text = re.sub(
            r"  --[\w.]+ CONFIG\s+Path to a configuration file\.\n", "", super().format_help(*args, **options)
        )
        return text.replace("<class 'Path'>", "path")


def parse_train_config(arguments: Sequence[str]) -> TrainConfig:
    """Read a training's configuration; leaves with exit code 2 and one line on a usage error.

    Options given on the command line win over the file, which wins over the preset's and the recipe's defaults.

    Raises:
        BadInputError: A configuration file cannot be read, or what it says cannot be.
        UsageError: There is no preset of the name, or an option is given an empty value.
    """
    words = arrange(arguments)
    files = values(words, "--config")
    parser = make_parser(_find_preset(files, values(words, "--preset")))
    for path in files:
        _check_names(parser, path)
    try:
        return _make(parser, words)
    except (ArgumentError, ValueError) as error:
        reason = _reason(parser, error)
        for path in files:
            if _fault_alone(parser, path) == reason:
                raise BadInputError(f"{path}: {reason}") from error
        parser.exit(2, f"{parser.prog}: {reason} (options: {parser.prog} --help)\n")
        raise AssertionError from error


def make_parser(preset_name: str) -> ArgumentParser:
    """The options, with a preset's model as default."""
    parser = _TrainParser(
        prog="mssts train",
        usage="mssts train [--config FILE] [--data DIR ...] [OPTION ...]",
        description="Train a model on YouTube-VIS-format, COCO or synthetic data. Options may be spelled with - or _.",
        epilog="for example: mssts train --config configs/tiny.yaml --out runs/mine --steps 200 --init tiny",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", metavar="FILE", help="YAML file with any of the options below")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_class_arguments(TrainConfig, None)
    parser.set_defaults({"preset": preset_name, "model": asdict(preset(preset_name))})
    return parser


def _make(parser: ArgumentParser, words: Sequence[str]) -> TrainConfig:
    """The configuration that the options make; ArgumentError and ValueError say why they make none."""
    settings = parser.instantiate(parser.parse_args(words))
    return TrainConfig(**{item.name: settings[item.name] for item in fields(TrainConfig)})


def _find_preset(files: Sequence[str], given: Sequence[str]) -> str:
    """The preset that the options or the configuration files name, before the options are fully understood."""
    there_are = f"there are {', '.join(preset_names())}"
    name = DEFAULT_PRESET
    for path in files:
        name = str(read_config_file(Path(path)).get("preset", name))
        if name not in preset_names():
            raise BadInputError(f"{path}: no preset '{name}'; {there_are}")
    for name in given:
        if name not in preset_names():
            raise UsageError(f"train: no preset '{name}'; {there_are}")
    return name


def _check_names(parser: ArgumentParser, path: str) -> None:
    """Read a configuration file by itself, so that a fault in it is told with its name.

    Raises:
        BadInputError: The file names an option that there is not, or gives one a value of the wrong type.
    """
    try:
        parser.parse_args([f"--config={path}"])
    except (ArgumentError, ValueError) as error:
        raise BadInputError(f"{path}: {_reason(parser, error)}") from error


def _fault_alone(parser: ArgumentParser, path: str) -> str | None:
    """What a training by this file would be refused for, had the command line given only what the file leaves out."""
    content = read_config_file(Path(path))
    words = [f"--config={path}"]
    words += [] if "data" in content else ['--data=["synthetic"]']
    words += [] if "steps" in content or "epochs" in content else ["--steps=1"]
    try:
        _make(parser, words)
    except (ArgumentError, ValueError) as error:
        return _reason(parser, error)
    return None


def _reason(parser: ArgumentParser, error: Exception) -> str:
    """What the parser complains of, in one line; of a value, which option's it is and what was expected."""
    text = " ".join(str(error).split())
    text = re.sub(r"Group '([\w.]+)' does not accept option '(\w+)'", r"there is no option \1.\2", text)
    unknown = re.search(r"(?:unrecognized arguments: --|there is no option |not accept option ')([\w.]+)", text)
    if unknown:
        return text + _similar(parser, unknown[1])
    key, value = re.search(r'Parser key "([\w.]+)"', text), re.search(r"(?:Given|Got) value: (.+)$", text)
    types = re.findall(r"Expected an? <class '(\w+)'>", text)
    choices = re.findall(r"Expected a typing\.Literal\[(.+?)\]", text)
    if not (key and value and (types or choices)):
        return text
    yaml_names = {"NoneType": "null", "tuple": "list"}
    kinds = dict.fromkeys([*choices, *(yaml_names.get(str(kind), str(kind)) for kind in types)])
    shown = value[1].strip("'")
    # A faulty item of a list is told by itself, before the list.
    inner = re.search(r"Got value: (.+?) - Expected", text)
    expected = f"{'one of' if choices else 'of type'} {' or '.join(map(str, kinds))}"
    return f"{key[1]}: '{inner[1] if inner else shown}' is not {expected}"


def _similar(parser: ArgumentParser, name: str) -> str:
    """The option that a mistyped one may have been meant to be."""
    close = get_close_matches(name, map(str, parser.get_defaults().keys()), 1)
    return f"; did you mean {close[0]}?" if close else ""
