"""Find where a media file is cut off or its structure is broken, without decoding it.

FFmpeg's demuxers skip what they cannot parse and take a file that stops between two frames for a complete one. Both
lose frames without a word. The containers announce the size of everything they hold, so walking from size to size
(the pictures themselves are not read) shows the loss exactly and never suspects a sound file of variable frame rate.
"""

import mmap
import re
from pathlib import Path
from typing import NamedTuple

Bytes = bytes | mmap.mmap
TS_PACKET_BYTES, TS_SYNC = 188, 0x47


class Damage(NamedTuple):
    """Everything before byte `offset` is sound; `reason` completes the sentence "FILE: ..."."""

    offset: int
    reason: str


def find_damage(path: Path) -> Damage | None:
    """The first structural fault of an MP4/MOV, Matroska/WebM, AVI, GIF or MPEG-TS file; None if there is none.

    Other containers are not checked.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is empty.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"):
            return _check_mp4(data)
        if data[:4] == b"\x1a\x45\xdf\xa3":
            return _check_matroska(data)
        if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
            return _check_avi(data)
        if data[:4] == b"GIF8":
            return _check_gif(data)
        if len(data) > TS_PACKET_BYTES and data[0] == data[TS_PACKET_BYTES] == TS_SYNC:
            rest = len(data) % TS_PACKET_BYTES
            return _cut(len(data) - rest) if rest else None
    return None


def _cut(offset: int, num_missing: int | None = None) -> Damage:
    missing = "" if num_missing is None else f" ({num_missing} bytes are missing)"
    return Damage(offset, f"the file is cut off{missing}")


def _broken(offset: int) -> Damage:
    return Damage(offset, f"the file is damaged at byte {offset}")


def _check_mp4(data: Bytes) -> Damage | None:
    """Follow the boxes of the top level; of those only frames and their index are judged, trailing junk is common."""
    position = 0
    while position + 8 <= len(data):
        size, header = int.from_bytes(data[position : position + 4], "big"), 8
        kind = data[position + 4 : position + 8]
        if size == 1:
            size, header = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        if size < header:  # 0 means "to the end of the file"
            return None
        position += size
        if position > len(data) and kind in (b"mdat", b"moov", b"moof"):
            return _cut(len(data), position - len(data))
    return None


_SEGMENT, _TRACKS, _CLUSTER, _BLOCK_GROUP = 0x18538067, 0x1654AE6B, 0x1F43B675, 0xA0
_BLOCKS = (0xA3, 0xA1)
_LEVEL_1 = {_CLUSTER, _TRACKS, 0x114D9B74, 0x1549A966, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367}
_IN_CLUSTER = {0xE7, 0xA7, 0xAB, 0xA3, 0xAF, 0x5854, _BLOCK_GROUP}
_IN_BLOCK_GROUP = {0xA1, 0xA2, 0x9B, 0xFA, 0xFB, 0xFD, 0xA4, 0x75A1, 0x75A2, 0x8E, 0xC8}
_ANYWHERE = {0xEC, 0xBF, 0x1A45DFA3}
_KNOWN = {_SEGMENT} | _LEVEL_1 | _IN_CLUSTER | _IN_BLOCK_GROUP | _ANYWHERE
_TRACK_ENTRY, _TRACK_NUMBER = 0xAE, 0xD7


def _check_matroska(data: Bytes) -> Damage | None:
    """Follow the EBML elements down to the blocks; each must be known, end inside its parent and name a track."""
    position, ends = 0, [len(data)]
    tracks: set[int | None] = set()
    while position < len(data):
        while len(ends) > 1 and position == ends[-1]:
            ends.pop()
        element, size, start = _read_element(data, position)
        if element in _LEVEL_1:
            del ends[2:]  # closes a cluster of unknown size; one of known size was closed above
        if element not in _KNOWN or (size is None and element not in (_SEGMENT, _CLUSTER)):
            # Anything may follow the segment.
            return None if len(ends) == 1 and position > 0 else _broken(position)
        end = ends[-1] if size is None else start + size
        if element == _SEGMENT:
            ends = [end, end]
        elif end > ends[-1]:
            return _cut(position) if end > len(data) else _broken(position)
        elif element in (_CLUSTER, _BLOCK_GROUP):
            ends.append(end)
        elif end > len(data):
            return _cut(position, ends[0] - len(data))
        elif element == _TRACKS:
            tracks = _track_numbers(data, start, end)
        elif element in _BLOCKS and tracks and _read_element_size(data, start)[0] not in tracks:
            return _broken(position)
        position = start if element in (_SEGMENT, _CLUSTER, _BLOCK_GROUP) else end
    return _cut(len(data), ends[0] - len(data)) if ends[0] > len(data) else None


def _track_numbers(data: Bytes, position: int, end: int) -> set[int | None]:
    """The numbers by which blocks name their track."""
    numbers: set[int | None] = set()
    while position < end:
        element, size, start = _read_element(data, position)
        if size is None:
            break
        if element == _TRACK_NUMBER:
            numbers.add(int.from_bytes(data[start : start + size], "big"))
        position = start if element == _TRACK_ENTRY else start + size
    return numbers


def _read_element(data: Bytes, position: int) -> tuple[int, int | None, int]:
    """The id and size of the EBML element at `position`, and where its content starts."""
    element, after_id = _read_element_id(data, position)
    size, start = _read_element_size(data, after_id)
    return element, size, start


def _read_element_id(data: Bytes, position: int) -> tuple[int, int]:
    """The EBML id at `position` and the position after it; id 0, which nothing has, where there is none."""
    first = data[position]
    length = 9 - first.bit_length()
    if length > 4:
        return 0, position
    return int.from_bytes(data[position : position + length], "big"), position + length


def _read_element_size(data: Bytes, position: int) -> tuple[int | None, int]:
    """The EBML size at `position` and the position after it; None for an unknown or unreadable size."""
    first = data[position] if position < len(data) else 0
    length = 9 - first.bit_length()
    if length > 8:
        return None, position
    ones = (1 << 7 * length) - 1
    size = int.from_bytes(data[position : position + length], "big") & ones
    return (None if size == ones else size), position + length


_MOVI_CHUNK = re.compile(rb"\d\d[A-Za-z]{2}|ix\d\d|idx1|JUNK|LIST|RIFF", re.ASCII)


def _check_avi(data: Bytes) -> Damage | None:
    """Follow the RIFF chunks; inside the frame data (`movi`) every chunk must be known and fit into the file."""
    position, movi_end = 0, 0
    while position + 8 <= len(data):
        kind = data[position : position + 4]
        in_movi = position < movi_end
        if in_movi and not _MOVI_CHUNK.fullmatch(kind):
            if not _MOVI_CHUNK.fullmatch(data[position - 1 : position + 3]):
                return _broken(position)
            position -= 1  # some writers leave out the byte that makes odd chunks even
            continue
        end = position + 8 + int.from_bytes(data[position + 4 : position + 8], "little")
        list_kind = data[position + 8 : position + 12]
        if kind == b"LIST" and list_kind == b"movi":
            # An unfinished recording has no size here: its frames reach to the end of the file.
            movi_end = end if end > position + 12 else len(data)
        elif in_movi and end > len(data):
            return _cut(position, movi_end - len(data)) if movi_end > len(data) else _broken(position)
        enters = kind == b"RIFF" or (kind == b"LIST" and list_kind in (b"movi", b"rec "))
        position = position + 12 if enters else end + end % 2
    return _cut(len(data), movi_end - len(data)) if movi_end > len(data) + 1 else None


def _check_gif(data: Bytes) -> Damage | None:
    """Follow the blocks up to the trailer; a file that ends between two blocks is accepted, many lack the trailer."""
    position = 13 + _color_table_size(data[10] if len(data) > 10 else 0)
    while position < len(data) and data[position] != 0x3B:
        block = position
        if data[block] == 0x21:
            position = _skip_sub_blocks(data, block + 2)
        elif data[block] == 0x2C and block + 9 < len(data):
            position = _skip_sub_blocks(data, block + 11 + _color_table_size(data[block + 9]))
        elif data[block] == 0x2C:
            return _cut(block)
        else:
            return _broken(block)
        if position > len(data):
            return _cut(block)
    return None


def _color_table_size(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _skip_sub_blocks(data: Bytes, position: int) -> int:
    """The position after a chain of sub-blocks, beyond the end of the data if the chain has no end."""
    while position < len(data) and data[position]:
        position += 1 + data[position]
    return position + 1
