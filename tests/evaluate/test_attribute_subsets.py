"""Which videos of a set show which attribute."""

from pathlib import Path

from mssts.data.video_set import Track, Video, VideoSet
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
