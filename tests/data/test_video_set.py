"""The loader of annotated sets: layouts as downloaded, and one line with a JSON path for every structural fault."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_set import HEIGHT, WIDTH, small_document, write_set

from mssts.data.rle import decode
from mssts.data.video_set import find_annotations, load_video_set
from mssts.errors import BadInputError

REAL = Path(__file__).parents[3] / "shared" / "data" / "vis-real"


def test_content(tmp_path: Path) -> None:
    write_set(tmp_path, small_document())
    video_set = load_video_set(tmp_path)
    assert video_set.path == tmp_path / "train.json"
    assert video_set.image_root == tmp_path / "train" / "JPEGImages"
    assert video_set.has_truth
    assert video_set.categories == ((4, "cat"), (9, "dog"))
    assert [video[:3] for video in video_set.videos] == [(1, HEIGHT, WIDTH), (2, HEIGHT, WIDTH)]
    assert video_set.videos[1].file_names == ("b/0.jpg", "b/1.jpg")
    first = video_set.tracks[0]
    assert (first.id, first.video_id, first.category_id, first.is_crowd) == (10, 1, 4, False)
    assert first.boxes_xywh == ((2, 3, 4, 4), None, (5, 3, 6, 6))
    assert first.segmentations[1] is None
    assert {id: [track.id for track in tracks] for id, tracks in video_set.tracks_by_video().items()} == {
        1: [10, 12],
        2: [11],
    }
    for track in video_set.tracks:
        for segmentation, box in zip(track.segmentations, track.boxes_xywh, strict=True):
            if segmentation is not None and box is not None:
                assert decode(segmentation, HEIGHT, WIDTH).sum() == box[2] * box[3]


LAYOUTS = [
    ("valid.json", "JPEGImages"),
    ("valid/instances.json", "valid/JPEGImages"),
    ("valid/valid.json", "valid"),
    ("annotations/valid.json", "valid/JPEGImages"),
    ("annotations/instances_valid.json", "valid"),
    ("annotations_valid.json", "valid"),
    ("instances_valid.json", "valid_all_frames/JPEGImages"),
    ("annotations/instances_valid_sub.json", "valid/JPEGImages"),
    ("valid.json", "."),
]


@pytest.mark.parametrize(("annotations", "images"), LAYOUTS)
def test_layouts_as_downloaded(tmp_path: Path, annotations: str, images: str) -> None:
    path = write_set(tmp_path, small_document(), annotations, images)
    assert find_annotations(tmp_path, "valid") == path
    for source in (tmp_path, path):
        video_set = load_video_set(source, "valid")
        assert video_set.path == path
        assert video_set.image_root == tmp_path / images
    with pytest.raises(BadInputError, match=r"of the split test .*; it has those of valid$"):
        find_annotations(tmp_path, "test")


@pytest.mark.parametrize("annotations", [None, [], "missing"])
def test_a_split_without_truth(tmp_path: Path, annotations: Any) -> None:
    document = {**small_document(), "annotations": annotations}
    if annotations == "missing":
        del document["annotations"]
    write_set(tmp_path, document)
    video_set = load_video_set(tmp_path)
    assert not video_set.has_truth
    assert video_set.tracks == ()
    assert video_set.tracks_by_video() == {1: [], 2: []}


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="nothing-here: no such file or folder"):
        load_video_set(tmp_path / "nothing-here")


Spoil = Callable[[dict[str, Any]], Any]
FAULTS: list[tuple[Spoil, str]] = [
    (lambda d: d.pop("videos"), "missing required field videos"),
    (lambda d: d.pop("categories"), "missing required field categories"),
    (lambda d: d["videos"][1].pop("height"), "field height at $.videos[1]"),
    (lambda d: d["videos"][1].update(width="16"), "got str at $.videos[1].width"),
    (lambda d: d["videos"][1].update(width=0), "$.videos[1]: a video of 12 x 0 is not possible"),
    (lambda d: d["videos"][1].update(width=10**9), "is not possible"),
    (lambda d: d["videos"][1].update(file_names=[]), "$.videos[1]: a video without frames"),
    (lambda d: d["videos"][1].update(file_names=["a", 3]), "got int at $.videos[1].file_names[1]"),
    (lambda d: d["videos"][0].update(length=4), "$.videos[0]: length is 4, but 3 files are named"),
    (lambda d: d["videos"][1].update(id=1), "id 1 is taken twice at $.videos[1]"),
    (lambda d: d["categories"][1].update(id=4), "id 4 is taken twice at $.categories[1]"),
    (lambda d: d["annotations"][2].update(id=10), "id 10 is taken twice at $.annotations[2]"),
    (lambda d: d["annotations"][2].update(video_id=3), "$.annotations[2]: unknown video_id 3"),
    (lambda d: d["annotations"][2].update(category_id=1), "$.annotations[2]: unknown category_id 1"),
    (lambda d: d["annotations"][2]["bboxes"].pop(), "$.annotations[2]: 2 bboxes for a video of 3 frames"),
    (lambda d: d["annotations"][2]["segmentations"].append(None), "4 segmentations for a video of 3 frames"),
    (lambda d: d["annotations"][2]["segmentations"].__setitem__(1, 5), "at $.annotations[2].segmentations[1]"),
    (lambda d: d["annotations"][2]["bboxes"].__setitem__(1, [1, 2, 3]), "at $.annotations[2].bboxes[1]"),
    (lambda d: d["annotations"][2]["bboxes"].__setitem__(1, [1, 2, 3, float("nan")]), "malformed"),
]


@pytest.mark.parametrize(("spoil", "words"), FAULTS)
def test_a_fault_is_one_line_with_its_place(tmp_path: Path, spoil: Spoil, words: str) -> None:
    document = small_document()
    spoil(document)
    path = write_set(tmp_path, document)
    with pytest.raises(BadInputError) as caught:
        load_video_set(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "text", ["", "{", json.dumps(small_document())[:-30], "[" * 100_000, '{"videos": ' + "[" * 100_000, "\x00\xff"]
)
def test_broken_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInputError, match=r"train\.json: "):
        load_video_set(tmp_path)


def test_a_name_that_no_file_can_have_is_no_crash(tmp_path: Path) -> None:
    document = small_document()
    document["videos"][0]["file_names"] = ["x" * 5000, "a\0b", "../a"]
    write_set(tmp_path, document)
    assert load_video_set(tmp_path).image_root == tmp_path / "train" / "JPEGImages"


def test_real_set() -> None:
    if not REAL.is_dir():
        pytest.skip(f"no real videos at {REAL}")
    train, valid = load_video_set(REAL), load_video_set(REAL, "valid")
    assert (len(train.videos), len(train.tracks)) == (23, 26)
    assert (len(valid.videos), len(valid.tracks)) == (6, 6)
    assert sum(len(video.file_names) for video in train.videos) == 565
    assert all((train.image_root / name).is_file() for video in train.videos for name in video.file_names)
    track = train.tracks[0]
    assert np.asarray(decode(track.segmentations[0], 288, 512)).any()
