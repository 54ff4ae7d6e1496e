import argparse
import re
from pathlib import Path

import numpy as np
import pytest

from mssts.data.attributes import video_attributes
from mssts.data.video_set import load_video_set
from mssts.errors import BadInputError
from mssts.tools.data_options import add_synthesize_options
from mssts.tools.synthesize import run_synthesize


def run(out: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    add_synthesize_options(parser)
    return run_synthesize(parser.parse_args([str(out), "--quiet", *words]))


def test_counts_and_shares_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--videos", "10", "--seed", "3", "--size", "48x64") == 0
    first, _, *rows = capsys.readouterr().out.splitlines()
    read = load_video_set(tmp_path, "valid")
    frames = sum(len(video.file_names) for video in read.videos)
    assert first == (
        f"wrote {tmp_path / 'valid' / 'instances.json'}: 10 videos, {frames} frames, {len(read.tracks)} instances"
    )
    shares = {}
    for row in rows:
        name, built, shown = re.fullmatch(r"(\w+) +(\d+)% +(\d+)%", row).groups()  # pyright: ignore
        shares[name] = int(built), int(shown)
    # Ten videos are one block, so four are built to show each attribute.
    assert [built for built, _ in shares.values()] == [40] * 6
    # The shares of the paper's three, from the file alone.
    tracks = read.tracks_by_video().values()
    found = [video_attributes([track.boxes_xywh for track in of_video]) for of_video in tracks]
    for index, name in enumerate(("fast_motion", "size_change", "aspect_change")):
        assert shares[name][1] == round(100 * np.mean([attributes[index] for attributes in found]))


def test_lengths_and_sizes_are_those_asked_for(tmp_path: Path) -> None:
    words = "--split train --videos 4 --size 40x56 --min-frames 2 --max-frames 3 --difficulty 0"
    assert run(tmp_path, *words.split()) == 0
    videos = load_video_set(tmp_path, "train").videos
    assert {(video.height, video.width) for video in videos} == {(40, 56)}
    assert {len(video.file_names) for video in videos} <= {2, 3}


def test_contradictory_lengths_and_existing_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="--min-frames 5 is more than --max-frames 4"):
        run(tmp_path, "--min-frames", "5", "--max-frames", "4")
    words = ["--videos", "1", "--size", "32x32", "--min-frames", "1", "--max-frames", "1"]
    run(tmp_path, *words)
    with pytest.raises(BadInputError, match="exists already"):
        run(tmp_path, *words)
