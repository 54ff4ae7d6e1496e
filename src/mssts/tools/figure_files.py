"""What the verbs that draw figures have in common: their files, their frames, their titles."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mssts.atomic_file import write_atomically
from mssts.errors import BadInputError, PartialInputError
from mssts.predict.video import open_source
from mssts.tools.figure_options import NUM_COLUMNS

_JPEG_QUALITY = 92


def check_out(out: Path, source: str, overwrite: bool) -> None:
    """Refuse to replace what nobody wants replaced.

    Raises:
        BadInputError: The file is there already, or is the source.
    """
    if Path(source).exists() and Path(source).resolve() == out.resolve():
        raise BadInputError(f"{source}: would be replaced by the output; choose another --out")
    if out.exists() and not overwrite:
        raise BadInputError(f"{out}: is already there; replace it with --overwrite")


def save_picture(picture: UInt8[np.ndarray, "H W 3"], path: Path) -> None:
    """Write a PNG or JPEG, by its name, when it is complete.

    Raises:
        ResourceError: It cannot be written.
    """
    data = io.BytesIO()
    if path.suffix.lower() == ".png":
        Image.fromarray(picture).save(data, format="PNG")
    else:
        Image.fromarray(picture).save(data, format="JPEG", quality=_JPEG_QUALITY)
    write_atomically(path, data.getvalue())


class SourceFacts(NamedTuple):
    """What a source says of itself; the number of frames may be wrong or unknown."""

    fps: float
    num_frames: int | None

    def spread_frames(self) -> list[int]:
        """Frames for a figure's columns, from the first to the last; the first ones if nobody knows the last."""
        last = NUM_COLUMNS - 1 if self.num_frames is None else max(self.num_frames - 1, 0)
        return np.unique(np.linspace(0, last, NUM_COLUMNS).round().astype(int)).tolist()


def look_at(source: str) -> SourceFacts:
    """Open a source for a moment.

    Raises:
        BadInputError: It cannot be read, or not a second time because it is live.
    """
    with open_source(source) as video:
        if video.is_live:
            raise BadInputError(f"{video.name}: a live source cannot be read twice; record it first")
        return SourceFacts(float(video.fps), video.num_frames_hint)


def check_columns(source: str, asked: Sequence[int] | None, num_frames: int, reason: PartialInputError | None) -> None:
    """Raise if the source ended before the columns that were asked for; without a wish, one column is enough.

    Args:
        source: Its name.
        asked: The user's own choice of frames.
        num_frames: How many frames came, up to the last column.
        reason: Why it broke off, if it did.

    Raises:
        BadInputError: It has no such frame.
        PartialInputError: It broke off before that frame.
    """
    if num_frames > max(asked or [0]):
        return
    if reason is not None:
        raise reason
    raise BadInputError(f"{source}: has {num_frames} frames, counted from 0; there is no frame {max(asked or [0])}")


def short_titles(names: Iterable[str]) -> list[str]:
    """Names of models and results files without what they share: `runs/a/model.safetensors` is called a."""
    given = list(names)
    short = [_short_title(Path(name)) for name in given]
    return short if len(set(short)) == len(short) else given


def _short_title(path: Path) -> str:
    if path.suffix not in (".safetensors", ".json"):
        return path.name
    is_generic = path.stem in ("model", "results")
    return path.parent.name if is_generic and path.parent.name else path.stem
