from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mssts.data.convert_mots import convert_mots
from mssts.data.rle import decode
from mssts.data.video_set import load_video_set
from mssts.errors import BadInputError

HEIGHT, WIDTH = 15, 40
# Values of a KITTI MOTS file: a car, two pedestrians, a region to be ignored.
IDS = [1007, 2000, 2011, 10000]


def write_sequence(root: Path, name: str, masks: list[np.ndarray], pictures: str = "training/image_02/{}") -> None:
    folder = root / pictures.format(name)
    folder.mkdir(parents=True)
    (root / "instances" / name).mkdir(parents=True)
    for frame, ids in enumerate(masks):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{frame:06d}.png")
        Image.fromarray(ids.astype(np.uint16)).save(root / f"instances/{name}/{frame:06d}.png")


def random_ids(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice([0, *IDS], (HEIGHT, WIDTH))


@pytest.mark.parametrize("pictures", ["training/image_02/{}", "images/{}", "{}/img1", "train/{}/img1"])
def test_every_instance_becomes_a_track_of_its_class(tmp_path: Path, pictures: str) -> None:
    masks = [random_ids(0), random_ids(1), np.zeros((HEIGHT, WIDTH))]
    write_sequence(tmp_path, "0002", masks, pictures)
    counts, notices = convert_mots(tmp_path, tmp_path / "out", "train", progress=False)
    assert (counts.num_videos, counts.num_frames, counts.num_tracks, notices) == (1, 3, 3, [])
    read = load_video_set(tmp_path / "out", "train")
    assert read.categories == ((1, "car"), (2, "pedestrian"))
    assert [track.category_id for track in read.tracks] == [1, 2, 2]
    for track, id_ in zip(read.tracks, (1007, 2000, 2011), strict=True):
        assert track.segmentations[2] is None
        for code, ids in zip(track.segmentations[:2], masks[:2], strict=True):
            assert code is not None
            assert np.array_equal(decode(code, HEIGHT, WIDTH), ids == id_)
    assert all((read.image_root / name).is_file() for name in read.videos[0].file_names)


def test_several_sequences_and_a_choice_of_them(tmp_path: Path) -> None:
    for name in ("0000", "0001", "0002"):
        write_sequence(tmp_path, name, [random_ids(0)])
    (tmp_path / "valid.txt").write_text("0001\n")
    convert_mots(tmp_path, tmp_path / "out", "train", progress=False)
    convert_mots(tmp_path, tmp_path / "out", "valid", only=tmp_path / "valid.txt", progress=False)
    assert len(load_video_set(tmp_path / "out", "train").videos) == 3
    assert load_video_set(tmp_path / "out", "valid").videos[0].file_names == ("0001/000000.png",)


@pytest.mark.parametrize(("value", "message"), [(5001, "class 5"), (17, "class 0"), (10001, "class 10")])
def test_values_of_unknown_classes_are_refused(tmp_path: Path, value: int, message: str) -> None:
    write_sequence(tmp_path, "0000", [np.full((HEIGHT, WIDTH), value)])
    with pytest.raises(BadInputError, match=rf"000000\.png: the value {value} is of {message}"):
        convert_mots(tmp_path, tmp_path / "out", "train", progress=False)
    assert not (tmp_path / "out/train").exists()


def test_pictures_in_colours_are_refused(tmp_path: Path) -> None:
    write_sequence(tmp_path, "0000", [random_ids(0)])
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "instances/0000/000000.png")
    with pytest.raises(BadInputError, match="not a 16-bit greyscale PNG"):
        convert_mots(tmp_path, tmp_path / "out", "train", progress=False)


def test_folders_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="not a MOTS folder"):
        convert_mots(tmp_path, tmp_path / "out", "train", progress=False)
    (tmp_path / "instances/0000").mkdir(parents=True)
    with pytest.raises(BadInputError, match="no frames of the sequence 0000"):
        convert_mots(tmp_path, tmp_path / "out", "train", progress=False)
