"""Reading a JSON file into typed values, with one line for whatever is wrong with it."""

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
    try:
        return msgspec.json.decode(path.read_bytes(), type=content)
    except OSError as error:
        raise BadInputError(f"{path}: {error.strerror or error}") from error
    except RecursionError as error:
        raise BadInputError(f"{path}: nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: {str(error).replace(' - at', ' at').replace('`', '')}") from error
