"""Reading a JSON file into typed values, with one line for whatever is wrong with it."""

import re
from pathlib import Path
from typing import Any

import msgspec

from mssts.errors import BadInputError


def read_json(path: Path, content: Any) -> Any:
    """Decode a file; the error names the file, what is wrong, and the place in it such as `$.videos[3].width`.

    Args:
        path: The file.
        content: What it should hold: a msgspec type, of which the result is.

    Raises:
        BadInputError: The file cannot be read, is not JSON, nests too deeply, or lacks what the type says.
    """
    data = b""
    try:
        data = path.read_bytes()
        return msgspec.json.decode(data, type=content)
    except OSError as error:
        raise BadInputError(f"{path}: {error.strerror or error}") from error
    except RecursionError as error:
        raise BadInputError(f"{path}: nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        text = str(error).replace(" - at", " at").replace("`", "")
        raise BadInputError(f"{path}: {text}{_not_a_number(data, text)}") from error


def _not_a_number(data: bytes, text: str) -> str:
    """What Python's json module writes for numbers that are none, and JSON does not know, if an error points to it."""
    place = re.search(r"\(byte (\d+)\)", text)
    found = re.match(rb"NaN|Infinity", data[int(place[1]) :]) if place else None
    return f": {found[0].decode()} is no number" if found else ""
