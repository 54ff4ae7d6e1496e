"""The videos of a set with each of the paper's attributes (section 4.3; Table 3, right)."""

from mssts.data.attributes import Attributes, Box, video_attributes
from mssts.data.rle import Segmentation, mask_extent
from mssts.data.video_set import Track, Video, VideoSet
from mssts.errors import BadInputError


def attribute_subsets(truth: VideoSet) -> dict[str, frozenset[int]]:
    """The ids of the videos that show each attribute, by its name; crowds are no objects and do not count.

    Boxes count as annotated; where one is missing, the extent of the mask stands for it.

    Raises:
        BadInputError: A mask without a box is not safe to decode, or of another size than its video.
    """
    tracks = truth.tracks_by_video()
    shown = {
        video.id: video_attributes([_boxes(track, video, truth) for track in tracks[video.id] if not track.is_crowd])
        for video in truth.videos
    }
    return {
        name: frozenset(video_id for video_id, attributes in shown.items() if getattr(attributes, name))
        for name in Attributes._fields
    }


def _boxes(track: Track, video: Video, truth: VideoSet) -> list[Box | None]:
    try:
        return [
            _extent_box(segmentation, video) if box is None and segmentation else box
            for box, segmentation in zip(track.boxes_xywh, track.segmentations, strict=True)
        ]
    except ValueError as error:
        raise BadInputError(f"{truth.path}: annotation {track.id}, {error}") from error


def _extent_box(segmentation: Segmentation, video: Video) -> Box:
    """Left, top, width and height of a mask; no width and height of an empty one."""
    extent = mask_extent(segmentation, video.height, video.width)
    return extent.x0, extent.y0, extent.x1 - extent.x0, extent.y1 - extent.y0
