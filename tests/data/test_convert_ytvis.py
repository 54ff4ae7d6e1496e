from pathlib import Path

import numpy as np
import pytest

from mssts.data.convert_ytvis import convert_ytvis, video_name
from mssts.data.rle import decode
from mssts.data.synthetic_set import write_synthetic_set
from mssts.data.video_set import VideoSet, load_video_set
from mssts.errors import BadInputError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    folder = tmp_path_factory.mktemp("whole")
    write_synthetic_set(folder, "train", 3, seed=1, height=64, width=96, min_frames=2, max_frames=4, progress=False)
    return load_video_set(folder, "train")


def test_chosen_videos_keep_frames_masks_and_classes(whole: VideoSet, tmp_path: Path) -> None:
    chosen = whole.videos[2]
    listing = tmp_path / "names.txt"
    listing.write_text(video_name(chosen) + "\n")
    counts, notices = convert_ytvis(whole.path, tmp_path / "part", "train", only=listing, progress=False)
    part = load_video_set(tmp_path / "part", "train")
    assert (counts.num_videos, notices, part.categories) == (1, [], whole.categories)
    video = part.videos[0]
    for ours, theirs in zip(video.file_names, chosen.file_names, strict=True):
        assert (part.image_root / ours).read_bytes() == (whole.image_root / theirs).read_bytes()
    theirs = whole.tracks_by_video()[chosen.id]
    assert len(part.tracks) == len(theirs) > 0
    for track, original in zip(part.tracks, theirs, strict=True):
        assert track.category_id == original.category_id
        for ours, before in zip(track.segmentations, original.segmentations, strict=True):
            assert (ours is None) == (before is None)
            if ours is not None and before is not None:
                assert np.array_equal(decode(ours, 64, 96), decode(before, 64, 96))


def test_unknown_video_is_named(whole: VideoSet, tmp_path: Path) -> None:
    listing = tmp_path / "names.txt"
    listing.write_text("nowhere\n")
    with pytest.raises(BadInputError, match="nowhere"):
        convert_ytvis(whole.path, tmp_path / "part", "train", only=listing, progress=False)
    assert not (tmp_path / "part" / "train").exists()
