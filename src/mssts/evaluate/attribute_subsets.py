"""The videos of a set with each of the paper's attributes (section 4.3; Table 3, right)."""

from mssts.data.attributes import Attributes, video_attributes
from mssts.data.video_set import VideoSet


def attribute_subsets(truth: VideoSet) -> dict[str, frozenset[int]]:
    """The ids of the videos that show each attribute, by its name; crowds are no objects and do not count."""
    shown = {
        video_id: video_attributes([track.boxes_xywh for track in tracks if not track.is_crowd])
        for video_id, tracks in truth.tracks_by_video().items()
    }
    return {
        name: frozenset(video_id for video_id, attributes in shown.items() if getattr(attributes, name))
        for name in Attributes._fields
    }
