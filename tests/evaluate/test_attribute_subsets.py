"""Which videos of a set show which attribute."""

import json
from pathlib import Path

import pytest

from mssts.data.synthetic_set import write_synthetic_set
from mssts.data.video_set import Track, Video, VideoSet, find_annotations, load_video_set
from mssts.errors import BadInputError
from mssts.evaluate.attribute_subsets import attribute_subsets


def track(id_: int, video_id: int, second: tuple[int, int, int, int], is_crowd: bool = False) -> Track:
    return Track(id_, video_id, 1, (None, None), ((0, 0, 10, 10), second), is_crowd)


def test_a_video_has_what_any_of_its_objects_shows():
    videos = tuple(Video(id_, 50, 50, ("a", "b")) for id_ in (4, 5, 6, 7))
    tracks = (
        track(1, 4, (0, 0, 10, 10)),
        track(2, 4, (5, 0, 10, 10)),
        track(3, 5, (-5, -5, 20, 20)),
        track(4, 6, (9, 0, 10, 30), is_crowd=True),
    )
    truth = VideoSet(Path("gt.json"), Path(), videos, tracks, ((1, "cat"),), has_truth=True)
    assert attribute_subsets(truth) == {"fast_motion": {4}, "size_change": {5}, "aspect_change": set()}


def test_without_boxes_the_masks_tell(tmp_path: Path) -> None:
    """The boxes of these files are pycocotools' own."""
    write_synthetic_set(tmp_path, "valid", 6, seed=9, height=64, width=96, progress=False)
    with_boxes = attribute_subsets(load_video_set(tmp_path, "valid"))
    assert all(with_boxes.values())
    path = find_annotations(tmp_path, "valid")
    document = json.loads(path.read_text())
    for entry in document["annotations"]:
        del entry["bboxes"]
    path.write_text(json.dumps(document))
    assert attribute_subsets(load_video_set(tmp_path, "valid")) == with_boxes


def test_a_bad_mask_without_a_box_is_named() -> None:
    code = {"size": [50, 50], "counts": [3, 4]}
    tracks = (Track(8, 4, 1, (code,), (None,), is_crowd=False),)
    truth = VideoSet(Path("gt.json"), Path(), (Video(4, 50, 50, ("a",)),), tracks, ((1, "cat"),), has_truth=True)
    with pytest.raises(BadInputError, match=r"gt\.json: annotation 8, "):
        attribute_subsets(truth)
