"""The verb `data check`: all faults of a set's splits, its counts, classes and attributes."""

from pathlib import Path

from mssts.data.check import check_annotations
from mssts.data.video_set import SPLITS, find_annotations, known_splits
from mssts.errors import BadInputError


def run_check(folder: Path, split: str | None, show_all: bool = False) -> int:
    """Check the splits of a set and print what is found.

    Args:
        folder: The set's folder, or one annotation file.
        split: The one to check; None checks every known split that is there.
        show_all: Print every fault instead of the first 20 of each kind.

    Returns:
        0 if there is no fault, 3 otherwise.

    Raises:
        BadInputError: There is no such folder, or it holds no annotations.
    """
    num_faults = 0
    for path in _annotation_files(folder, split):
        findings, statistics = check_annotations(path, None if path == folder else folder)
        for line in (*findings.lines(show_all), *statistics):
            print(line)
        num_faults += findings.num_faults
    print(f"{folder}: {num_faults or 'no'} fault{'' if num_faults == 1 else 's'}")
    return BadInputError.exit_code if num_faults else 0


def _annotation_files(folder: Path, split: str | None) -> list[Path]:
    if folder.is_file():
        return [folder]
    if split is not None:
        return [find_annotations(folder, split)]
    # The search for one split says that there is no folder, or that it holds no annotations.
    return list(known_splits(folder).values()) or [find_annotations(folder, SPLITS[0])]
