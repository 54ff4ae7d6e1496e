"""Training clips from a set of videos in YouTube-VIS form."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from mssts.config import Category
from mssts.data.augmentation import AugmentationConfig
from mssts.data.batch import Sample
from mssts.data.clip_sampling import choose_frames
from mssts.data.geometry import Geometry
from mssts.data.pictures import read_picture
from mssts.data.rle import decode
from mssts.data.transforms import Truth, draw_colours, draw_geometry, make_sample, transform_frames
from mssts.data.video_set import Track, Video, VideoSet
from mssts.errors import BadInputError

MAX_REDRAWS = 9
"""So often are frames and augmentation drawn again if no instance is to be seen; then the clip stays without one."""


class VideoClips:
    """A `ClipSource` of annotated videos; every frame of a video with a usable track is an item.

    Usable are tracks of the mapped categories that are no crowd and have a segmentation in some frame.

    Args:
        video_set: The set.
        slot_of: The class slot of each category id of the file; tracks of other categories are left out.
        categories: Of all slots.
        augmentation: Of the clips.

    Raises:
        BadInputError: There is no usable track.
    """

    def __init__(
        self,
        video_set: VideoSet,
        slot_of: Mapping[int, int],
        categories: tuple[Category, ...],
        augmentation: AugmentationConfig,
    ) -> None:
        self.categories = categories
        self._set, self._slot_of, self._augmentation = video_set, slot_of, augmentation
        self._tracks = {
            video_id: usable
            for video_id, tracks in video_set.tracks_by_video().items()
            if (usable := [track for track in tracks if self._is_usable(track)])
        }
        self._videos = [video for video in video_set.videos if video.id in self._tracks]
        self._ends = np.cumsum([len(video.file_names) for video in self._videos], dtype=np.int64)
        if not self._videos:
            raise BadInputError(f"{video_set.path}: holds no instance to train on")

    def __len__(self) -> int:
        """Frames of all videos with a usable track."""
        return int(self._ends[-1])

    def sample(self, index: int, num_frames: int, random: np.random.Generator, progress: float) -> Sample:
        """Make the clip around a frame; instances that are seen in none of its frames are left out.

        Raises:
            BadInputError: A frame or a segmentation cannot be read.
        """
        place = int(np.searchsorted(self._ends, index, side="right"))
        video = self._videos[place]
        key_frame = index - int(self._ends[place]) + len(video.file_names)
        frames, geometry, truth = self._draw(video, key_frame, num_frames, random)
        for _ in range(MAX_REDRAWS):
            if len(truth.labels):
                break
            frames, geometry, truth = self._draw(video, key_frame, num_frames, random)
        colours = draw_colours(self._augmentation, random)
        paths = [self._set.image_root / video.file_names[frame] for frame in frames]
        pictures = [read_picture(path, video.height, video.width) for path in paths]
        return make_sample(transform_frames(pictures, geometry, colours), truth)

    def _is_usable(self, track: Track) -> bool:
        return not track.is_crowd and track.category_id in self._slot_of and any(track.segmentations)

    def _draw(
        self, video: Video, key_frame: int, num_frames: int, random: np.random.Generator
    ) -> tuple[list[int], Geometry, Truth]:
        """Draw the frames and what happens to them, with the truth that is then seen."""
        frames = choose_frames(key_frame, len(video.file_names), num_frames, random).tolist()
        geometry = draw_geometry(self._augmentation, (video.height, video.width), random)
        return frames, geometry, self._truth(video, frames, geometry).only_seen()

    def _truth(self, video: Video, frames: Sequence[int], geometry: Geometry) -> Truth:
        height, width = geometry.target
        tracks = self._tracks[video.id]
        masks = np.zeros((len(tracks), len(frames), height, width), dtype=bool)
        for track, track_masks in zip(tracks, masks, strict=True):
            for frame, mask in zip(frames, track_masks, strict=True):
                if track.segmentations[frame]:
                    mask[:] = geometry.apply_to_mask(self._decode(track, frame, video))
        return Truth(np.array([self._slot_of[track.category_id] for track in tracks], dtype=np.int64), masks)

    def _decode(self, track: Track, frame: int, video: Video) -> Bool[np.ndarray, "H W"]:
        try:
            return decode(track.segmentations[frame], video.height, video.width)
        except ValueError as error:
            raise BadInputError(f"{self._set.path}: annotation {track.id}, frame {frame}: {error}") from error
