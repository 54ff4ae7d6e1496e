"""The evaluator's inner loops, compiled by Numba when this module is first imported.

They run without the interpreter lock, so threads share the cores. `no_type_check` keeps run-time shape checkers away
from functions that become machine code.
"""

from typing import no_type_check

import numpy as np
from numba import boolean, float64, int32, int64, njit, types, uint8, void

from mssts.compiled import compile_now

# Characters of one count, 5 bits each; sums of these stay within int64.
_MAX_DIGITS = 7
_TAB, _NEW_LINE, _RETURN, _SPACE, _QUOTE, _BACKSLASH = b'\t\n\r "\\'
_OPENING, _COMMA, _CLOSING = (np.frombuffer(text, dtype=np.uint8) for text in (b" [ ", b" , ", b" ] "))
_NULL, _CODE_END = (np.frombuffer(text, dtype=np.uint8) for text in (b"null", b'" }'))

TEXT = types.Array(uint8, 1, "C", readonly=True)
RUNS, INDICES, COUNTS = int32[:, ::1], int64[::1], int64[::1]
IOUS, FLAGS = float64[:, ::1], boolean[:, :, ::1]


@njit
@no_type_check
def _after(text, place, pattern):
    """The place behind a pattern that starts at a place, -1 if it is not there; a space is any white space, or none."""
    for character in pattern:
        if character == _SPACE:
            while 0 <= place < len(text) and text[place] in (_SPACE, _TAB, _NEW_LINE, _RETURN):
                place += 1
        elif 0 <= place < len(text) and text[place] == character:
            place += 1
        else:
            return -1
    return place


@compile_now(int64(TEXT, TEXT, uint8[::1], INDICES))
@no_type_check
def find_codes(text, code_start, characters, code_ends):
    """Find the compressed run-length codes in the JSON of a track's segmentations.

    Args:
        text: The JSON; nothing about it is trusted.
        code_start: What stands before the characters of a code, as `_after` takes it.
        characters: Is set to the codes, one after the other; as long as `text`.
        code_ends: Is set, per frame, to where its code ends in `characters`.

    Returns:
        The number of characters; -1 if the text is anything but as many codes and nulls as `code_ends` is long.
    """
    place = _after(text, 0, _OPENING)
    num_characters = 0
    for frame in range(len(code_ends)):
        if frame:
            place = _after(text, place, _COMMA)
        in_code = _after(text, place, code_start)
        if in_code < 0:
            place = _after(text, place, _NULL)
        else:
            place = in_code
            while place < len(text) and text[place] != _QUOTE:
                if text[place] == _BACKSLASH:  # stands before another one; no code has a character of other escapes
                    place += 1
                    if place == len(text) or text[place] != _BACKSLASH:
                        return -1
                characters[num_characters] = text[place]
                num_characters += 1
                place += 1
            if place == in_code:
                return -1
            place = _after(text, place, _CODE_END)
        if place < 0:
            return -1
        code_ends[frame] = num_characters
    return num_characters if _after(text, place, _CLOSING) == len(text) else -1


@compile_now(boolean(TEXT, INDICES, int64, RUNS, INDICES, COUNTS))
@no_type_check
def parse_codes(characters, code_ends, num_pixels, runs, firsts, areas):
    """Read a track's compressed run-length codes; False if one of them is not sound.

    Trusts nothing about the characters. A code is sound if its counts are not negative and add up to the frame.

    Args:
        characters: The codes of all frames, one after the other.
        code_ends: Per frame, where its code ends; one of no length is no mask.
        num_pixels: Of a frame, at most 2^28.
        runs: Is set to the first pixel of each run of the mask and the one behind it, in column order; has a row for
            every two characters.
        firsts: Is set, per frame, to its first row of `runs`, and at last to the number of rows.
        areas: Is set to the pixels of each mask.
    """
    place = num_runs = 0
    for frame in range(len(code_ends)):
        firsts[frame] = num_runs
        area = 0
        stop = code_ends[frame]
        pixel = index = before = before_that = 0
        while place < stop:
            count = shift = 0
            digit = 32
            while digit >= 32:  # bit 5 says that the count goes on
                if place == stop or shift == 5 * _MAX_DIGITS:
                    return False
                digit = np.int64(characters[place]) - 48
                if digit < 0 or digit > 63:
                    return False
                count |= (digit & 31) << shift
                shift += 5
                place += 1
            if digit & 16:  # the top bit is the sign
                count -= 1 << shift
            if index > 2:  # from the fourth on, what is stored is the difference to the count two before
                count += before_that
            if count < 0 or count > num_pixels - pixel:
                return False
            if index & 1:
                runs[num_runs, 0] = pixel
                runs[num_runs, 1] = pixel + count
                num_runs += 1
                area += count
            before_that, before = before, count
            pixel += count
            index += 1
        if pixel != num_pixels and index:
            return False
        areas[frame] = area
    firsts[len(code_ends)] = num_runs
    return True


@njit
@no_type_check
def _skip_to(runs, first, end, pixel):
    """The first of the rows that ends behind a pixel."""
    while first < end:
        middle = (first + end) // 2
        if runs[middle, 1] > pixel:
            end = middle
        else:
            first = middle + 1
    return first


@compile_now(void(RUNS, INDICES, RUNS, INDICES, COUNTS))
@no_type_check
def count_shared(runs_a, firsts_a, runs_b, firsts_b, shared):
    """Set `shared` to the pixels that two tracks have in common in each frame; runs as `parse_codes` gives them."""
    for frame in range(len(shared)):
        a, end_a = firsts_a[frame], firsts_a[frame + 1]
        b, end_b = firsts_b[frame], firsts_b[frame + 1]
        total = 0
        if a < end_a and b < end_b:
            start_a, start_b = runs_a[a, 0], runs_b[b, 0]
            a = _skip_to(runs_a, a, end_a, start_b)
            b = _skip_to(runs_b, b, end_b, start_a)
        while a < end_a and b < end_b:
            start, stop_a, stop_b = max(runs_a[a, 0], runs_b[b, 0]), runs_a[a, 1], runs_b[b, 1]
            if stop_a <= stop_b:  # tracks that are alike take the same way for long: the processor foresees it
                total += max(stop_a - start, 0)
                a += 1
            else:
                total += max(stop_b - start, 0)
                b += 1
        shared[frame] = total


@compile_now(void(IOUS, float64[::1], boolean[:, ::1], boolean[::1], boolean[:, ::1], FLAGS, FLAGS))
@no_type_check
def assign(ious, thresholds, counted, is_crowd, taken, matched, ignored):
    """Let detections choose, best first, the free track with the highest IoU, and set what became of them.

    Args:
        ious: Of D detections with G tracks.
        thresholds: The least IoU of a match, T of them.
        counted: Per area range (A) and track, whether it is to be found; the other tracks are ignored, and taken only
            by detections that no counted one is left for.
        is_crowd: Which tracks can be taken any number of times.
        taken: Room for one flag per threshold and track.
        matched: A x T x D, is set where a detection has a track.
        ignored: Likewise, is set where that track is an ignored one.
    """
    for area in range(len(counted)):
        taken[:] = False
        for threshold in range(len(thresholds)):
            for detection in range(len(ious)):
                chosen = -1
                for track in range(len(is_crowd)):
                    iou = ious[detection, track]
                    if iou < thresholds[threshold] or (taken[threshold, track] and not is_crowd[track]):
                        continue
                    # Of equal ones the last, as the official code takes it.
                    same_kind = chosen >= 0 and counted[area, track] == counted[area, chosen]
                    if chosen < 0 or (iou >= ious[detection, chosen] if same_kind else counted[area, track]):
                        chosen = track
                matched[area, threshold, detection] = chosen >= 0
                ignored[area, threshold, detection] = chosen >= 0 and not counted[area, chosen]
                if chosen >= 0:
                    taken[threshold, chosen] = True
