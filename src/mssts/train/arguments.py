"""The words of a command line, put in the order in which they are meant."""

import json
import re
from collections.abc import Sequence

from mssts.errors import UsageError

FLAGS = ("-h", "--help", "--debug", "--print_config")
"""Options that take no word after them."""


def arrange(arguments: Sequence[str]) -> list[str]:
    """One word for each option: configuration files first, as all that is given beside them wins over them.

    Several `--data` become the one list that the parser wants, and a length replaces that of a file.

    Raises:
        UsageError: An option is given an empty value.
    """
    words = _join_values(arguments)
    files = [word for word in words if word.startswith("--config=")]
    folders = values(words, "--data")
    rest = [word for word in words if not word.startswith(("--config=", "--data="))]
    joined = ["--data=" + json.dumps(folders)] if folders else []
    return [*files, *rest, *joined, *_unset_other_length(rest)]


def values(words: Sequence[str], option: str) -> list[str]:
    """All values that an option is given, in their order."""
    return [word.removeprefix(option + "=") for word in words if word.startswith(option + "=")]


def _join_values(arguments: Sequence[str]) -> list[str]:
    """`--name value` and `--name=value` alike as the latter, with underscores in the name."""
    words: list[str] = []
    rest = [_with_underscores(argument) for argument in arguments]
    while rest:
        word = rest.pop(0)
        takes_value = word.startswith("--") and "=" not in word and word not in FLAGS
        if takes_value and rest and not rest[0].startswith("--"):
            word += "=" + rest.pop(0)
        if word.startswith("--") and word.endswith("=") and word.count("=") == 1:
            raise UsageError(f"train: {word[:-1]} is given nothing")
        words.append(word)
    return words


def _with_underscores(argument: str) -> str:
    """`--num-nodes` as the field it means, `--num_nodes`."""
    name = re.match(r"--[\w.-]+", argument)
    return argument if name is None else "--" + name[0][2:].replace("-", "_") + argument[name.end() :]


def _unset_other_length(words: Sequence[str]) -> list[str]:
    """A length on the command line replaces that of a file, which may be given the other way."""
    epochs, steps = values(words, "--epochs"), values(words, "--steps")
    return (["--epochs=null"] if steps and not epochs else []) + (["--steps=null"] if epochs and not steps else [])
