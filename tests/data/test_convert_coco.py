import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools.coco import COCO

from mssts.data.convert_coco import convert_coco
from mssts.data.rle import decode
from mssts.data.video_set import load_video_set
from mssts.errors import BadInputError

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "coco-real"
HEIGHT, WIDTH = 24, 32
SQUARE = [4.0, 5.0, 14.0, 5.0, 14.0, 17.0, 4.0, 17.0]


def document() -> dict[str, Any]:
    """Two images; the first has a polygon, a crowd and an instance without a pixel, the second has nothing."""
    crowd = {"size": [HEIGHT, WIDTH], "counts": [10 * HEIGHT, 3 * HEIGHT, (WIDTH - 13) * HEIGHT]}
    annotations = [
        {"id": 11, "image_id": 900, "category_id": 44, "segmentation": [SQUARE], "iscrowd": 0},
        {"id": 12, "image_id": 900, "category_id": 1, "segmentation": crowd, "iscrowd": 1},
        {"id": 13, "image_id": 900, "category_id": 1, "segmentation": [[3.1, 3.1, 3.2, 3.1, 3.2, 3.2]], "iscrowd": 0},
    ]
    images = [
        {"id": id_, "file_name": f"{id_:012d}.jpg", "height": HEIGHT, "width": WIDTH, "license": 3} for id_ in (900, 7)
    ]
    categories = [{"id": 1, "name": "person"}, {"id": 44, "name": "bottle"}]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def write_set(root: Path, content: Any, name: str = "val2017") -> Path:
    (root / "annotations").mkdir(parents=True)
    (root / name).mkdir()
    path = root / "annotations" / f"instances_{name}.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    for id_ in (900, 7):
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / name / f"{id_:012d}.jpg")
    return path


@pytest.mark.parametrize("from_file", [False, True])
def test_an_image_becomes_a_video_of_one_frame(tmp_path: Path, from_file: bool) -> None:
    path = write_set(tmp_path, document())
    source = path if from_file else tmp_path
    counts, notices = convert_coco(source, tmp_path / "out", "valid", progress=False)
    assert (counts.num_videos, counts.num_frames, counts.num_tracks) == (2, 2, 2)
    assert notices == ["left out: 1 instances without a pixel"]
    read = load_video_set(tmp_path / "out", "valid")
    assert [video.file_names for video in read.videos] == [
        ("000000000900/000000000900.jpg",),
        ("000000000007/000000000007.jpg",),
    ]
    assert read.categories == ((1, "person"), (44, "bottle"))
    polygon, crowd = read.tracks
    assert [(track.video_id, track.category_id, track.is_crowd) for track in read.tracks] == [
        (1, 44, False),
        (1, 1, True),
    ]
    square = Image.new("1", (WIDTH, HEIGHT))
    # Pillow fills up to and including the last corner, COCO up to it.
    ImageDraw.Draw(square).rectangle([4, 5, 13, 16], fill=1)
    assert np.array_equal(decode(polygon.segmentations[0], HEIGHT, WIDTH), np.asarray(square))
    assert polygon.boxes_xywh == ((4.0, 5.0, 10.0, 12.0),)
    assert np.flatnonzero(decode(crowd.segmentations[0], HEIGHT, WIDTH).any(axis=0)).tolist() == [10, 11, 12]


def test_a_list_of_names_chooses_the_images(tmp_path: Path) -> None:
    write_set(tmp_path, document())
    (tmp_path / "only.txt").write_text("000000000007")
    counts, _ = convert_coco(tmp_path, tmp_path / "out", "valid", only=tmp_path / "only.txt", progress=False)
    assert (counts.num_videos, counts.num_tracks) == (1, 0)


def changed(**entries: dict[str, Any]) -> dict[str, Any]:
    """The document with the first entry of some lists changed."""
    content = document()
    for key, values in entries.items():
        content[key][0] |= values
    return content


FAULTS = {
    "no JSON": ("{", "instances_val2017.json: "),
    "too deep": ("[" * 100_000, "instances_val2017.json: "),
    "missing key": ({"images": [], "annotations": []}, "categories"),
    "wrong type": (changed(images={"height": "24"}), r"\$\.images\[0\]\.height"),
    "no images": (document() | {"images": [], "annotations": []}, "names no|no images"),
    "double id": (changed(images={"id": 7}), r"twice in \$\.images"),
    "unknown image": (changed(annotations={"image_id": 8}), r"\$\.annotations\[0\]: unknown image_id 8"),
    "unknown category": (changed(annotations={"category_id": 8}), r"\$\.annotations\[0\]: unknown category_id 8"),
    "absurd code": (
        changed(annotations={"segmentation": {"size": [10**6, 10**6], "counts": "0"}}),
        "annotation 11: RLE size",
    ),
    "far polygon": (changed(annotations={"segmentation": [[0, 0, 1e9, 0, 1e9, 1e9]]}), "annotation 11: "),
    "wrong size": (changed(images={"width": 31}), r"900\.jpg: is 24 x 32, instances_val2017\.json says 24 x 31"),
    "missing file": (
        document() | {"images": [document()["images"][0] | {"file_name": "x.jpg"}]},
        r"x\.jpg was not found",
    ),
    "odd name": (changed(images={"file_name": "a\0b.jpg"}), "was not found"),
    "long name": (changed(images={"file_name": "a" * 5000}), "was not found"),
    "outside": (changed(images={"file_name": "../val2017/000000000900.jpg"}), "cannot be the name"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_in_one_line_and_leaves_nothing(tmp_path: Path, fault: str) -> None:
    content, message = FAULTS[fault]
    write_set(tmp_path, content)
    with pytest.raises(BadInputError, match=message):
        convert_coco(tmp_path, tmp_path / "out", "valid", progress=False)
    assert not (tmp_path / "out/valid").exists()


def test_a_folder_without_annotations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no COCO annotations of the split train"):
        convert_coco(tmp_path, tmp_path / "out", "train", progress=False)
    with pytest.raises(BadInputError, match="no such file or folder"):
        convert_coco(tmp_path / "nowhere", tmp_path / "out", "train", progress=False)


@pytest.mark.skipif(not REAL.is_dir(), reason="real COCO images are not at hand (../shared/data/coco-real)")
def test_real_masks_are_those_that_the_official_tools_decode(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    convert_coco(REAL, tmp_path, "valid", progress=False)
    read = load_video_set(tmp_path, "valid")
    official = COCO(REAL / "annotations" / "instances_val2017.json")
    capsys.readouterr()
    assert len(read.tracks) == len(official.anns)
    by_video = read.tracks_by_video()
    for video in read.videos[:40]:
        image_id = int(Path(video.file_names[0]).stem)
        expected = official.loadAnns(official.getAnnIds(image_id))
        assert [track.category_id for track in by_video[video.id]] == [entry["category_id"] for entry in expected]
        for track, entry in zip(by_video[video.id], expected, strict=True):
            mask = decode(track.segmentations[0], video.height, video.width)
            assert np.array_equal(mask, official.annToMask(entry).astype(bool))
            assert track.is_crowd == bool(entry["iscrowd"])
            rows, columns = np.nonzero(mask)
            extents = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
            assert track.boxes_xywh == (extents,)
