"""From the folders of training sets to one source of clips."""

from collections.abc import Sequence
from pathlib import Path

from mssts.config import Category
from mssts.data.augmentation import AugmentationConfig
from mssts.data.batch import ClipSource
from mssts.data.categories import NAMED_LISTS, contiguous_categories, official_categories
from mssts.data.category_maps import slots_of
from mssts.data.coco import CocoClips
from mssts.data.coco_set import CocoSet, load_coco
from mssts.data.find_set import find_set, holds_images
from mssts.data.joint import JointClips
from mssts.data.video_set import VideoSet, load_video_set
from mssts.data.youtube_vis import VideoClips
from mssts.errors import BadInputError


def open_training_set(
    folders: Sequence[str | Path],
    split: str,
    categories: str | tuple[Category, ...] | None,
    augmentation: AugmentationConfig,
) -> ClipSource:
    """Open sets in YouTube-VIS form and in COCO form, several as a joint one.

    Categories without a class slot are left out, which a printed line per set tells.

    Args:
        folders: The sets' folders, or annotation files.
        split: Which annotations of the folders.
        categories: Of the class slots: those given, or "ytvis2019" or "ytvis2021" for an official layout, or None for
            those of the first set.
        augmentation: Of the clips.

    Raises:
        BadInputError: A set cannot be read, or has nothing to train on.
        ValueError: There is no folder, or no layout of the name.
    """
    if not folders:
        raise ValueError("no training set is named")
    if isinstance(categories, str) and categories not in NAMED_LISTS:
        raise ValueError(f"'{categories}' is none of {', '.join(NAMED_LISTS)}")
    sets = [_load(Path(folder), split) for folder in folders]
    if categories is None:
        categories = contiguous_categories(sets[0].categories)
    elif isinstance(categories, str):
        categories = official_categories(NAMED_LISTS[categories])
    sources = [_as_clips(loaded, categories, augmentation) for loaded in sets]
    return sources[0] if len(sources) == 1 else JointClips(sources)


def _load(source: Path, split: str) -> VideoSet | CocoSet:
    """Read a set in whatever form it is in."""
    path = find_set(source, split)
    return load_coco(path) if holds_images(path) else load_video_set(source, split)


def _as_clips(
    loaded: VideoSet | CocoSet, categories: tuple[Category, ...], augmentation: AugmentationConfig
) -> ClipSource:
    slot_of = slots_of(loaded.categories, categories)
    left_out = [name for id_, name in loaded.categories if id_ not in slot_of]
    if not slot_of:
        raise BadInputError(f"{loaded.path}: none of its categories is among those to be trained")
    if left_out:
        count = f"{len(left_out)} of {len(loaded.categories)} categories"
        print(f"{loaded.path}: {count} are not among the model's and are left out: {', '.join(left_out)}", flush=True)
    kind = CocoClips if isinstance(loaded, CocoSet) else VideoClips
    return kind(loaded, slot_of, categories, augmentation)  # pyright: ignore[reportArgumentType]
