"""A folder or a glob pattern of pictures as a source of frames."""

import glob
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from mssts.errors import BadInputError, PartialInputError
from mssts.predict.source import DEFAULT_FPS, VideoSource, natural_order
from mssts.types import Frame

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})


class ImageSequence(VideoSource):
    """Pictures in natural order of their names; all must have the size of the first."""

    def __init__(self, paths: list[Path], name: str, start_frame: int) -> None:
        self.name = name
        self.fps = DEFAULT_FPS
        self.num_frames_hint = len(paths)
        self._paths = paths
        self._start_frame = start_frame
        self.height, self.width = read_image(paths[0]).shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures; see `VideoSource`."""
        for index in range(self._start_frame, len(self._paths)):
            yield Frame(index, index / self.fps, self._read(index))

    def _read(self, index: int) -> UInt8[np.ndarray, "H W 3"]:
        """One picture, of the right size."""
        path = self._paths[index]
        try:
            image = read_image(path)
        except BadInputError as error:
            raise PartialInputError(f"{error}; {index} good frames before it") from error
        if image.shape[:2] != (self.height, self.width):
            height, width = image.shape[:2]
            sizes = f"{width}x{height}, the first frame {self.width}x{self.height}"
            raise PartialInputError(f"{path}: is {sizes}; {index} good frames before it")
        return image


def open_images(source: str, start_frame: int) -> ImageSequence:
    """Open a folder, or the files that a pattern matches.

    Raises:
        BadInputError: There are no pictures, or the first one cannot be read.
    """
    folder = Path(source)
    found = folder.iterdir() if folder.is_dir() else (Path(match) for match in glob.glob(source, recursive=True))
    paths = sorted((path for path in found if path.suffix.lower() in SUFFIXES and path.is_file()), key=natural_order)
    if not paths:
        what = "holds no pictures" if folder.is_dir() else "matches no pictures"
        raise BadInputError(f"{source}: {what} ({', '.join(sorted(SUFFIXES))})")
    return ImageSequence(
        paths, folder.resolve().name if folder.is_dir() else paths[0].parent.resolve().name, start_frame
    )


def read_image(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Read a picture as RGB, turned as its EXIF tag says.

    Raises:
        BadInputError: It is damaged, not a picture, not readable, or so large that it must be an attack.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except PermissionError as error:
        raise BadInputError(f"{path}: no permission to read it") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadInputError(f"{path}: cannot be read as a picture ({error})") from error
