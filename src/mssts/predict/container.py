"""Tell from a video file's own length fields that its end is missing, which decoders pass over in silence."""

from pathlib import Path
from typing import BinaryIO

EBML_HEADER, MATROSKA_SEGMENT = 0x1A45DFA3, 0x18538067
MAX_ATOMS = 100_000
TS_PACKET_BYTES, TS_SYNC = 188, b"G"


def is_cut_short(path: Path) -> bool:
    """Whether the file's structure says that more bytes should follow (Matroska, WebM, MP4, MOV, AVI, MPEG-TS)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(TS_PACKET_BYTES + 1)
        file.seek(0)
        if head.startswith(b"\x1aE\xdf\xa3"):
            return _matroska_end(file) > size
        if head.startswith(b"RIFF"):
            return int.from_bytes(head[4:8], "little") + 8 > size
        if head[:1] == head[-1:] == TS_SYNC:
            return size % TS_PACKET_BYTES != 0
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
            return _last_atom_end(file, size) > size
    return False


def _matroska_end(file: BinaryIO) -> int:
    """Where the segment says it ends; 0 if it does not say, as in recordings of a live stream."""
    while True:
        identifier = _variable_integer(file, keep_marker=True)
        length = _variable_integer(file, keep_marker=False)
        if identifier not in (EBML_HEADER, MATROSKA_SEGMENT) or length is None:
            return 0
        if identifier == MATROSKA_SEGMENT:
            return file.tell() + length
        file.seek(length, 1)


def _variable_integer(file: BinaryIO, keep_marker: bool) -> int | None:
    """An EBML number, whose first byte's leading zeros tell its length; None for "unknown" or at the end."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big")
    if keep_marker:
        return value
    value &= (1 << 7 * length) - 1
    return None if value == (1 << 7 * length) - 1 else value


def _last_atom_end(file: BinaryIO, size: int) -> int:
    """Where the last top-level atom of an MP4 or MOV file says it ends."""
    end = 0
    for _ in range(MAX_ATOMS):
        file.seek(end)
        head = file.read(8)
        if len(head) < 8:
            return end + (8 if head else 0)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if length == 0:
            return size
        if length < 8:
            return end
        end += length
        if end > size:
            return end
    return end
