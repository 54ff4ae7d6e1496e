"""Reads an annotation file leniently, so that one fault does not hide the others, and walks through its entries.

Where `video_set.py` stops at the first fault, here NaN is read and named, too deep nesting is cut out and named, and
an entry of a wrong type is named and left out.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mssts.data.check_report import Findings

MAX_NESTING = 60
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_NAMES = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


class Entry(NamedTuple):
    """An object of the file, the JSON path that leads there, and where its faults are recorded."""

    value: dict[str, Any]
    where: str
    findings: Findings

    def has(self, key: str) -> bool:
        """Whether the key is there; records a fault if not."""
        if key in self.value:
            return True
        self.findings.add("missing key", f"{self.where}.{key}", "missing")
        return False

    def whole(self, key: str) -> int | None:
        """A whole number that must be there; None, with a fault recorded, if it is not."""
        if not self.has(key):
            return None
        number = self.value[key]
        if type(number) is int and abs(number) < 2**63:
            return number
        self.wrong_type(key, "a whole number")
        return None

    def text(self, key: str) -> str | None:
        """A text that must be there; None, with a fault recorded, if it is not."""
        if not self.has(key):
            return None
        if isinstance(self.value[key], str):
            return self.value[key]
        self.wrong_type(key, "a text")
        return None

    def items(self, key: str) -> list | None:
        """A list that must be there; None, with a fault recorded, if it is not."""
        if not self.has(key):
            return None
        if isinstance(self.value[key], list):
            return self.value[key]
        self.wrong_type(key, "a list")
        return None

    def entries(self, key: str) -> Iterator["Entry"]:
        """The objects of a list that must be there."""
        for index, value in enumerate(self.items(key) or []):
            where = f"{self.where}.{key}[{index}]"
            if isinstance(value, dict):
                yield Entry(value, where, self.findings)
            else:
                self.findings.add("wrong type", where, f"{type_name(value)} instead of an object")

    def wrong_type(self, key: str, wanted: str) -> None:
        """Record that the key's value is of a wrong type."""
        self.findings.add("wrong type", f"{self.where}.{key}", f"{type_name(self.value[key])} instead of {wanted}")


def type_name(value: object) -> str:
    """What to call a JSON value that is not what it should be."""
    return _NAMES.get(type(value)) or f"the number {str(value)[:30]}"


def read_document(path: Path, findings: Findings) -> Entry | None:
    """Parse an annotation file as far as possible; None, with a fault recorded, if nothing can be read."""
    text = ""
    try:
        text = path.read_bytes().decode()
        document = _parse(text, findings)
    except OSError as error:
        findings.add("unreadable file", "$", error.strerror or str(error))
    except UnicodeDecodeError as error:
        findings.add("broken JSON", "$", f"not UTF-8 at byte {error.start}")
    except json.JSONDecodeError as error:
        end = "; the file seems to be cut off" if error.pos >= len(text.rstrip()) - 1 else ""
        findings.add("broken JSON", "$", f"{error.msg} in line {error.lineno}, column {error.colno}{end}")
    else:
        if isinstance(document, dict):
            return Entry(document, "$", findings)
        findings.add("wrong type", "$", f"{type_name(document)} instead of an object")
    return None


def _parse(text: str, findings: Findings) -> object:
    """Python's reader, which knows NaN; the rare faults that it does not survive are mended and read again."""
    seen: list[float] = []

    def constant(name: str) -> float:
        """Note a NaN or an infinity."""
        seen.append(float(name))
        return seen[-1]

    try:
        document = json.loads(text, parse_constant=constant)
    except RecursionError:
        text = _cut_deep_nesting(text, findings)
        document = json.loads(text, parse_constant=constant, parse_int=_parse_whole)
    except json.JSONDecodeError:
        raise
    except ValueError:  # a number of more than 4300 digits
        document = json.loads(text, parse_constant=constant, parse_int=_parse_whole)
    if seen:
        _name_constants(document, findings)
    return document


def _parse_whole(digits: str) -> int | float:
    return int(digits) if len(digits) < 30 else float(digits)


def _cut_deep_nesting(text: str, findings: Findings) -> str:
    """Replace what is nested deeper than any annotation by null, and name the places."""
    kept: list[str] = []
    depth = resume = 0
    for token in _TOKENS.finditer(text):
        if token[0] in ("[", "{"):
            depth += 1
            if depth == MAX_NESTING + 1:
                kept += [text[resume : token.start()], "null"]
                findings.add("deep nesting", f"character {token.start()}", f"more than {MAX_NESTING} levels")
                resume = len(text)
        elif token[0] in ("]", "}"):
            depth -= 1
            if depth == MAX_NESTING and resume == len(text):
                resume = token.end()
    return "".join(kept) + text[resume:]


def _name_constants(document: object, findings: Findings) -> None:
    """Find the JSON path of every NaN and Infinity."""
    open_values: list[tuple[str, object]] = [("$", document)]
    while open_values:
        where, value = open_values.pop()
        if isinstance(value, dict):
            open_values.extend((f"{where}.{key}", item) for key, item in value.items())
        elif isinstance(value, list):
            if all(type(item) is int for item in value):
                continue  # counts of run-length codes: long, and quickly passed over
            open_values.extend((f"{where}[{index}]", item) for index, item in enumerate(value))
        elif isinstance(value, float) and not math.isfinite(value):
            findings.add("NaN or Infinity", where, f"the number {value}")
