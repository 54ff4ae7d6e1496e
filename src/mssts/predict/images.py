"""A folder or a glob pattern of pictures as a source of frames."""

import glob
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from mssts.errors import BadInputError, PartialInputError
from mssts.predict.pixels import over_white
from mssts.predict.source import DEFAULT_FPS, MAX_PIXELS, VideoSource, natural_order
from mssts.types import Frame

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})
# Pillow knows formats that start other programs or pull in other files; none of them is a frame.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")


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
    folder = Path(source) if os.path.isdir(source) else None
    try:
        found = list(folder.iterdir()) if folder else [Path(match) for match in glob.glob(source, recursive=True)]
        paths = sorted((path for path in found if _is_picture(path)), key=natural_order)
    except PermissionError as error:
        raise BadInputError(f"{source}: no permission to read it") from error
    if not paths:
        what = "holds no pictures" if folder else "matches no pictures"
        raise BadInputError(f"{source}: {what} ({', '.join(sorted(SUFFIXES))})")
    named_after = paths[0].with_suffix("") if glob.escape(str(paths[0])) == source else folder or paths[0].parent
    return ImageSequence(paths, named_after.resolve().name or "images", start_frame)


def _is_picture(path: Path) -> bool:
    """Whether a file's name says so; hidden files are what systems leave behind, not frames."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def read_image(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Read a picture as RGB, turned as its EXIF tag says, transparency over white.

    Raises:
        BadInputError: It is damaged, not a picture, not readable, or so large that it must be an attack.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                return np.array(_rgb(ImageOps.exif_transpose(_checked(image))))
    except PermissionError as error:
        raise BadInputError(f"{path}: no permission to read it") from error
    except Image.UnidentifiedImageError as error:
        what = "is empty" if path.stat().st_size == 0 else "is not a picture"
        raise BadInputError(f"{path}: {what}") from error
    except MemoryError:
        raise
    except Exception as error:  # damaged pictures raise whatever the parser happened to be doing
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInputError(f"{path}: cannot be read as a picture ({reason})") from error


def _checked(image: Image.Image) -> Image.Image:
    """The image, if its header promises one picture of a size that can be.

    Raises:
        ValueError: It does not.
    """
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"claims {image.width}x{image.height} pixels, more than any camera has")
    num_pictures = getattr(image, "n_frames", 1)
    if num_pictures > 1 and image.format != "MPO":  # an MPO holds previews or depth beside the picture
        raise ValueError(f"holds {num_pictures} pictures; make a video or single pictures of it")
    return image


def _rgb(image: Image.Image) -> Image.Image:
    """Eight bits of red, green and blue.

    Raises:
        ValueError: The pixels are numbers without a known range.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"holds pixels of 32 bits (mode {image.mode}), which have no known range")
    return over_white(image) if image.has_transparency_data else image.convert("RGB")
