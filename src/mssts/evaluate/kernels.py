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
RUNS, INDICES, TABLE = int32[:, ::1], int64[::1], int64[:, ::1]
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


@njit
@no_type_check
def _parse_code(text, place, num_pixels, runs, num_runs):
    """Read one code up to the quote behind it: the place of that or -1 if the code is not sound, rows so far, area."""
    pixel = index = area = before = before_that = 0
    while place < len(text) and text[place] != _QUOTE:
        count = shift = 0
        digit = 32
        while digit >= 32:  # bit 5 says that the count goes on
            digit = np.int64(text[place]) - 48 if place < len(text) else -1
            if digit < 0 or digit > 63 or shift == 5 * _MAX_DIGITS:
                return -1, num_runs, area
            if text[place] == _BACKSLASH:  # JSON writes two; no other character of a code is written as an escape
                place += 1
                if place == len(text) or text[place] != _BACKSLASH:
                    return -1, num_runs, area
            count |= (digit & 31) << shift
            shift += 5
            place += 1
        if digit & 16:  # the top bit is the sign
            count -= 1 << shift
        if index > 2:  # from the fourth on, what is stored is the difference to the count two before
            count += before_that
        if count < 0 or count > num_pixels - pixel:
            return -1, num_runs, area
        if index & 1:
            runs[num_runs, 0] = pixel
            runs[num_runs, 1] = pixel + count
            num_runs += 1
            area += count
        before_that, before = before, count
        pixel += count
        index += 1
    return (place if pixel == num_pixels else -1), num_runs, area


@njit
@no_type_check
def _parse_track(text, code_start, num_pixels, runs, num_runs, firsts, areas):
    """Read the JSON of one track, whose rows of `runs` begin after `num_runs`; False if it is not sound."""
    place = _after(text, 0, _OPENING)
    for frame in range(len(areas)):
        firsts[frame] = num_runs
        areas[frame] = 0
        if frame:
            place = _after(text, place, _COMMA)
        in_code = _after(text, place, code_start)
        if in_code < 0:
            place = _after(text, place, _NULL)
        else:
            place, num_runs, areas[frame] = _parse_code(text, in_code, num_pixels, runs, num_runs)
            place = _after(text, place, _CODE_END)
        if place < 0:
            return False
    firsts[len(areas)] = num_runs
    return _after(text, place, _CLOSING) == len(text)


@compile_now(void(TEXT, INDICES, TEXT, int64, RUNS, TABLE, TABLE, boolean[::1]))
@no_type_check
def parse_tracks(text, ends, code_start, num_pixels, runs, firsts, areas, is_sound):
    """Read the compressed run-length codes in the JSON of some tracks' segmentations, of which nothing is trusted.

    Args:
        text: The JSON of all tracks, one after the other.
        ends: Where each track's JSON ends.
        code_start: What stands before the characters of a code, as `_after` takes it.
        num_pixels: Of a frame, at most 2^28.
        runs: Is set to the first pixel of each run of the masks and the one behind it, in column order; has a row for
            every two characters.
        firsts: Is set, per track and frame, to its first row of `runs`, and at last to the row behind the track's.
        areas: Is set to the pixels of each track and frame, 0 where there is no mask.
        is_sound: Is set to False where the JSON is anything but as many codes and nulls as there are frames, or the
            counts of a code are negative or do not add up to the frame; the track's rows mean nothing then.
    """
    start = num_runs = 0
    for track in range(len(ends)):
        part = text[start : ends[track]]
        is_sound[track] = _parse_track(part, code_start, num_pixels, runs, num_runs, firsts[track], areas[track])
        if is_sound[track]:
            num_runs = firsts[track, -1]
        start = ends[track]


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


@njit
@no_type_check
def _count_shared(runs_a, a, end_a, runs_b, b, end_b):
    """The pixels that two masks have in common."""
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
    return total


@compile_now(void(RUNS, TABLE, RUNS, TABLE, int64[:, :, ::1]))
@no_type_check
def count_shared(runs_a, firsts_a, runs_b, firsts_b, shared):
    """Set `shared` to the pixels in common of each track of one list, each of another, and frame.

    Runs and their places are those of `parse_tracks`.
    """
    for track_a in range(len(firsts_a)):
        for track_b in range(len(firsts_b)):
            for frame in range(shared.shape[2]):
                a, end_a = firsts_a[track_a, frame], firsts_a[track_a, frame + 1]
                b, end_b = firsts_b[track_b, frame], firsts_b[track_b, frame + 1]
                shared[track_a, track_b, frame] = _count_shared(runs_a, a, end_a, runs_b, b, end_b)


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
