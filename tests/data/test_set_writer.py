import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mssts.data.set_writer import SetWriter, as_text, encode_mask, place_image
from mssts.data.video_set import load_video_set
from mssts.errors import BadInputError

CATEGORIES = [(3, "cat"), (8, "dog")]


def square_mask() -> np.ndarray:
    mask = np.zeros((6, 9), dtype=bool)
    mask[1:4, 5:9] = True
    return mask


def write_one(out: Path, split: str = "train") -> None:
    with SetWriter(out, split, CATEGORIES, {}) as writer:
        video_id, folder = writer.add_video("a", 6, 9, ["0.png", "1.png"])
        for name in ("0.png", "1.png"):
            Image.new("RGB", (9, 6)).save(folder / name)
        writer.add_track(video_id, 8, [None, encode_mask(square_mask())])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_one(tmp_path)
    read = load_video_set(tmp_path, "train")
    assert read.categories == tuple(CATEGORIES)
    assert read.videos[0].file_names == ("a/0.png", "a/1.png")
    assert all((read.image_root / name).is_file() for name in read.videos[0].file_names)
    (track,) = read.tracks
    assert (track.category_id, track.is_crowd, track.boxes_xywh) == (8, False, (None, (5.0, 1.0, 4.0, 3.0)))
    entry = json.loads((tmp_path / "train" / "instances.json").read_text())["annotations"][0]
    assert entry["areas"] == [None, 12]
    assert entry["segmentations"][0] is None
    assert np.array_equal(coco_mask.decode(entry["segmentations"][1]).astype(bool), square_mask())


def test_an_instance_without_a_pixel_is_not_noted_and_an_empty_code_is_absence(tmp_path: Path) -> None:
    empty = as_text(coco_mask.encode(np.zeros((6, 9), dtype=np.uint8, order="F")))
    with SetWriter(tmp_path, "train", CATEGORIES, {}) as writer:
        video_id, _ = writer.add_video("a", 6, 9, ["0.png", "1.png"])
        assert not writer.add_track(video_id, 3, [None, empty])
        assert writer.add_track(video_id, 3, [empty, encode_mask(square_mask())])
    (track,) = json.loads((tmp_path / "train" / "instances.json").read_text())["annotations"]
    assert (track["id"], track["segmentations"][0], track["bboxes"][0]) == (1, None, None)


def test_a_split_beside_another_is_welcome_but_none_is_replaced(tmp_path: Path) -> None:
    write_one(tmp_path, "train")
    write_one(tmp_path, "valid")
    before = (tmp_path / "train" / "instances.json").read_bytes()
    with pytest.raises(BadInputError, match="exists already"):
        write_one(tmp_path, "train")
    assert (tmp_path / "train" / "instances.json").read_bytes() == before


def test_an_empty_folder_is_filled_and_one_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    write_one(tmp_path)
    (tmp_path / "valid" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(BadInputError, match=r"valid: holds files but no annotations"):
        write_one(tmp_path, "valid")
    (tmp_path / "test.json").write_text("{}")
    with pytest.raises(BadInputError, match=r"test\.json"):
        write_one(tmp_path, "test")


@pytest.mark.parametrize("split", ["", ".", "..", "a/b", "/etc", "JPEGImages"])
def test_a_split_is_named_like_a_folder(tmp_path: Path, split: str) -> None:
    with pytest.raises(BadInputError, match="name of a split"):
        write_one(tmp_path, split)


def test_the_target_may_not_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="not a folder"):
        write_one(tmp_path / "file")


@pytest.mark.parametrize("name", ["../b", "/b", "", "x/../../b", "a"])
def test_a_video_has_a_name_of_its_own_inside_the_set(tmp_path: Path, name: str) -> None:
    def write() -> None:
        with SetWriter(tmp_path / "set", "train", CATEGORIES, {}) as writer:
            writer.add_video("a", 6, 9, ["0.png"])
            writer.add_video(name, 6, 9, ["0.png"])

    with pytest.raises(BadInputError):
        write()
    # What failed leaves nothing that looks like a set, and the same call can be made again.
    assert not (tmp_path / "set" / "train").exists()
    assert not (tmp_path / "b").exists()


def test_there_is_no_annotation_file_before_the_end(tmp_path: Path) -> None:
    with SetWriter(tmp_path, "train", CATEGORIES, {}) as writer:
        writer.add_video("a", 6, 9, ["0.png"])
        assert not list(tmp_path.rglob("*.json*"))
    assert [path.name for path in tmp_path.rglob("*.json*")] == ["instances.json"]


def test_pictures_are_linked_or_copied(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    source.write_bytes(b"picture")
    (tmp_path / "link.jpg").symlink_to(source)
    place_image(tmp_path / "link.jpg", tmp_path / "linked.jpg", copy=False)
    place_image(source, tmp_path / "copied.jpg", copy=True)
    assert os.path.samefile(source, tmp_path / "linked.jpg")
    assert not (tmp_path / "linked.jpg").is_symlink()
    assert not os.path.samefile(source, tmp_path / "copied.jpg")
    assert (tmp_path / "copied.jpg").read_bytes() == b"picture"


def test_where_links_are_not_possible_pictures_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a.jpg").write_bytes(b"picture")
    place_image(tmp_path / "a.jpg", tmp_path / "b.jpg", copy=False)
    assert (tmp_path / "b.jpg").read_bytes() == b"picture"
    with pytest.raises(BadInputError, match=r"missing\.jpg"):
        place_image(tmp_path / "missing.jpg", tmp_path / "c.jpg", copy=False)
