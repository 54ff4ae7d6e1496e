import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mssts.data.convert_davis import convert_davis
from mssts.data.rle import decode
from mssts.data.video_set import load_video_set
from mssts.errors import BadInputError

HEIGHT, WIDTH = 20, 30


def write_video(root: Path, name: str, masks: list[np.ndarray], mode: str = "P", resolution: str = "480p") -> None:
    """Frames 00000.jpg, … and for each a mask with the given object ids."""
    for kind in ("JPEGImages", "Annotations"):
        (root / kind / resolution / name).mkdir(parents=True)
    for frame, ids in enumerate(masks):
        Image.new("RGB", (WIDTH, HEIGHT), (frame, 9, 9)).save(root / f"JPEGImages/{resolution}/{name}/{frame:05d}.jpg")
        image = Image.fromarray(ids.astype(np.uint8))
        if mode == "P":
            image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
        image.convert(mode).save(root / f"Annotations/{resolution}/{name}/{frame:05d}.png")


def random_ids(seed: int, ids: list[int]) -> np.ndarray:
    return np.random.default_rng(seed).choice([0, *ids], (HEIGHT, WIDTH))


def read_masks(out: Path, split: str = "train") -> dict[str, list[np.ndarray]]:
    """Per video, named by its folder, the masks [T H W] of its tracks in order."""
    read = load_video_set(out, split)
    tracks = read.tracks_by_video()
    result = {}
    for video in read.videos:
        empty = np.zeros((video.height, video.width), dtype=bool)
        result[video.file_names[0].rpartition("/")[0]] = [
            np.stack([decode(code, video.height, video.width) if code else empty for code in track.segmentations])
            for track in tracks[video.id]
        ]
    return result


def test_palette_masks_of_several_objects_come_back_as_tracks(tmp_path: Path) -> None:
    # The values of the palette are random: only its indices count. Object 5 is absent from frame 1.
    masks = [random_ids(0, [1, 2, 5]), random_ids(1, [1, 2]), random_ids(2, [1, 2, 5])]
    write_video(tmp_path / "in", "boat", masks)
    write_video(tmp_path / "in", "cat", [random_ids(3, [1])])
    counts, notices = convert_davis(tmp_path / "in", tmp_path / "out", "train", progress=False)
    assert (counts.num_videos, counts.num_frames, counts.num_tracks, notices) == (2, 4, 4, [])
    read = read_masks(tmp_path / "out")
    for track, id_ in zip(read["boat"], (1, 2, 5), strict=True):
        assert np.array_equal(track, np.stack(masks) == id_)
    content = load_video_set(tmp_path / "out", "train")
    assert content.categories == ((1, "object"),)
    assert content.tracks_by_video()[1][2].segmentations[1] is None
    first = content.image_root / content.videos[0].file_names[0]
    assert os.path.samefile(first, tmp_path / "in/JPEGImages/480p/boat/00000.jpg")


def test_pictures_are_copied_when_asked_for(tmp_path: Path) -> None:
    write_video(tmp_path / "in", "boat", [random_ids(0, [1])])
    convert_davis(tmp_path / "in", tmp_path / "out", "train", copy=True, progress=False)
    source, target = tmp_path / "in/JPEGImages/480p/boat/00000.jpg", tmp_path / "out/train/JPEGImages/boat/00000.jpg"
    assert not os.path.samefile(source, target)
    assert source.read_bytes() == target.read_bytes()


def test_255_is_unlabelled_beside_other_objects(tmp_path: Path) -> None:
    masks = [random_ids(0, [255]), random_ids(1, [1, 255])]
    write_video(tmp_path, "boat", masks)
    _, notices = convert_davis(tmp_path, tmp_path / "out", "train", progress=False)
    (track,) = read_masks(tmp_path / "out")["boat"]
    assert np.array_equal(track, np.stack(masks) == 1)
    assert notices == ["left out: pixels of value 255 (unlabelled) in 1 videos"]


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "P"])
def test_255_alone_is_the_object_as_in_davis_2016(tmp_path: Path, mode: str) -> None:
    masks = [random_ids(0, [255]), random_ids(1, [255])]
    write_video(tmp_path, "boat", masks, mode)
    _, notices = convert_davis(tmp_path, tmp_path / "out", "train", progress=False)
    (track,) = read_masks(tmp_path / "out")["boat"]
    assert np.array_equal(track, np.stack(masks) == 255)
    assert not notices


@pytest.mark.parametrize("resolution", ["Full-Resolution", "."])
def test_folders_of_other_levels_are_found(tmp_path: Path, resolution: str) -> None:
    write_video(tmp_path, "boat", [random_ids(0, [1])], resolution=resolution)
    counts, _ = convert_davis(tmp_path, tmp_path / "out", "train", progress=False)
    assert counts.num_tracks == 1


def test_frames_without_a_mask_are_left_out_and_counted(tmp_path: Path) -> None:
    write_video(tmp_path, "boat", [random_ids(0, [1])] * 3)
    (tmp_path / "Annotations/480p/boat/00001.png").unlink()
    counts, notices = convert_davis(tmp_path, tmp_path / "out", "train", progress=False)
    assert (counts.num_frames, notices) == (2, ["left out: 1 frames without a mask"])
    assert load_video_set(tmp_path / "out").videos[0].file_names == ("boat/00000.jpg", "boat/00002.jpg")


def test_a_list_of_names_chooses_the_videos(tmp_path: Path) -> None:
    for name in ("boat", "cat", "dog"):
        write_video(tmp_path, name, [random_ids(0, [1])])
    (tmp_path / "val.txt").write_text("cat\ndog\n\n")
    convert_davis(tmp_path, tmp_path / "out", "valid", only=tmp_path / "val.txt", progress=False)
    assert list(read_masks(tmp_path / "out", "valid")) == ["cat", "dog"]
    (tmp_path / "val.txt").write_text("cow\n")
    with pytest.raises(BadInputError, match=r"val\.txt: names the unknown video cow"):
        convert_davis(tmp_path, tmp_path / "out", "test", only=tmp_path / "val.txt", progress=False)


def damage_mask(root: Path) -> None:
    path = root / "Annotations/480p/boat/00001.png"
    path.write_bytes(path.read_bytes()[:-40])


def damage_picture(root: Path) -> None:
    (root / "JPEGImages/480p/boat/00001.jpg").write_bytes(b"no picture")


def colour_mask(root: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT), (255, 0, 0)).save(root / "Annotations/480p/boat/00001.png")


def shrink_mask(root: Path) -> None:
    Image.new("L", (WIDTH, HEIGHT - 1)).save(root / "Annotations/480p/boat/00001.png")


def shrink_picture(root: Path) -> None:
    Image.new("RGB", (WIDTH - 1, HEIGHT)).save(root / "JPEGImages/480p/boat/00001.jpg")


def remove_picture(root: Path) -> None:
    (root / "JPEGImages/480p/boat/00001.jpg").unlink()


def remove_masks(root: Path) -> None:
    for path in (root / "Annotations/480p/boat").iterdir():
        path.unlink()


FAULTS = {
    damage_mask: r"00001\.png: cannot be read as a mask",
    damage_picture: r"00001\.jpg: cannot be read as a picture",
    colour_mask: r"00001\.png: a mask has object ids",
    shrink_mask: r"00001\.png: is 19 x 30",
    shrink_picture: r"00001\.jpg: is 20 x 29",
    remove_picture: r"00001\.png: no frame of that name",
    remove_masks: r"boat: holds no masks",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_told_in_one_line_and_leaves_nothing(tmp_path: Path, fault) -> None:
    write_video(tmp_path, "boat", [random_ids(0, [1, 2])] * 2)
    fault(tmp_path)
    with pytest.raises(BadInputError, match=FAULTS[fault]) as info:
        convert_davis(tmp_path, tmp_path / "out", "train", progress=False)
    assert "\n" not in str(info.value)
    assert not list((tmp_path / "out").rglob("*.*"))


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="not a DAVIS folder"):
        convert_davis(tmp_path, tmp_path / "out", "train", progress=False)
    (tmp_path / "JPEGImages/480p").mkdir(parents=True)
    (tmp_path / "Annotations/480p").mkdir(parents=True)
    with pytest.raises(BadInputError, match="holds no folders of masks"):
        convert_davis(tmp_path, tmp_path / "out", "train", progress=False)
