"""Takes part of a set in YouTube-VIS form: some videos of a split become a set of their own."""

from pathlib import Path, PurePosixPath

from tqdm import tqdm

from mssts.data.mask_folders import choose_videos
from mssts.data.rle import to_compressed
from mssts.data.set_writer import SetCounts, SetWriter, as_text, place_image
from mssts.data.video_set import Track, Video, VideoSet, load_video_set
from mssts.errors import BadInputError


def convert_ytvis(
    source: Path, out: Path, split: str, *, only: Path | None = None, copy: bool = False, progress: bool = True
) -> tuple[SetCounts, list[str]]:
    """Write the chosen videos of a split; polygons become run-length codes, boxes and areas those of the codes.

    Args:
        source: The set's folder, or its annotation file.
        out: Folder of the new set.
        split: Of both sets.
        only: A text file with the names of the videos to take; a video's name is its frames' folder.
        copy: Whether to copy the frames rather than to link them.
        progress: Whether to show a progress bar.

    Returns:
        What was written, and lines that tell what was left out.

    Raises:
        BadInputError: The set or a frame cannot be read, or the split exists already.
    """
    content = load_video_set(source, split)
    names = {video_name(video): video for video in content.videos}
    chosen = [names[name] for name in choose_videos(list(names), only)]
    tracks = content.tracks_by_video()
    info = {"description": f"videos of {content.path.name}"}
    num_empty = 0
    with SetWriter(out, split, content.categories, info) as writer:
        for video in tqdm(chosen, unit="video", disable=not progress, dynamic_ncols=True):
            num_empty += _take(writer, content, video, tracks[video.id], copy)
    return writer.counts, [f"left out: {num_empty} instances without a pixel"] if num_empty else []


def video_name(video: Video) -> str:
    """The folder of a video's frames."""
    return str(PurePosixPath(video.file_names[0]).parent)


def _take(writer: SetWriter, content: VideoSet, video: Video, tracks: list[Track], copy: bool) -> int:
    """Write a video; returns how many of its tracks are empty and were left out."""
    frames = [PurePosixPath(name).name for name in video.file_names]
    video_id, folder = writer.add_video(video_name(video), video.height, video.width, frames)
    for name, frame in zip(video.file_names, frames, strict=True):
        place_image(content.image_root / name, folder / frame, copy)
    noted = 0
    for track in tracks:
        try:
            codes = [
                as_text(to_compressed(part, video.height, video.width)) if part else None
                for part in track.segmentations
            ]
        except ValueError as error:
            raise BadInputError(f"{content.path}: annotation {track.id}: {error}") from error
        noted += writer.add_track(video_id, track.category_id, codes, track.is_crowd)
    return len(tracks) - noted
