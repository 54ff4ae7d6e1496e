"""The masks of a true track, judged: an annotation file is trusted no more than a results file."""

from mssts.data.video_set import Track, Video, VideoSet
from mssts.errors import BadInputError
from mssts.evaluate.video_iou import Tube, to_tube


def true_tube(track: Track, video: Video, truth: VideoSet) -> Tube:
    """Judge and measure the masks of a track of a video of a set.

    Raises:
        BadInputError: A segmentation is not safe to decode, or of another size than the video.
    """
    try:
        return to_tube(track.segmentations, video.height, video.width)
    except ValueError as error:
        raise BadInputError(f"{truth.path}: annotation {track.id}, {error}") from error
