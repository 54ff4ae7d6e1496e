"""`data check`: every kind of fault is found, all of them in one run of one set, and nothing else is."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_set import HEIGHT, WIDTH, coco_document, small_document, square, write_frames, write_set

from mssts.data.augmentation import AugmentationConfig
from mssts.data.check import check_annotations
from mssts.data.open_source import open_training_set
from mssts.data.video_set import load_video_set
from mssts.errors import BadInputError
from mssts.tools.data_check import run_check

REAL = Path(__file__).parents[3] / "shared" / "data"
DEEP = "[" * 5000 + "]" * 5000
Item = dict[str, Any]


class Fault(NamedTuple):
    """Spoils the video, its only track, or the file of its first frame; `line` is what must be said about number I."""

    kind: str
    line: str
    spoil: Callable[[Item, Item], object] = lambda video, track: None
    damage: Callable[[Path], object] = lambda path: None


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def mask(value: Any) -> Callable[[Item, Item], object]:
    return lambda video, track: track["segmentations"].__setitem__(0, value)


def box(value: Any) -> Callable[[Item, Item], object]:
    return lambda video, track: track["bboxes"].__setitem__(0, value)


V, A = "$.videos[I]", "$.annotations[I]"
FAULTS = [
    Fault("missing key", f"{V}.height: missing", lambda v, a: v.pop("height")),
    Fault("missing key", f"{V}.file_names: missing", lambda v, a: v.pop("file_names")),
    Fault("missing key", f"{A}.bboxes: missing", lambda v, a: a.pop("bboxes")),
    Fault("missing key", f"{A}.category_id: missing", lambda v, a: a.pop("category_id")),
    Fault("wrong type", f"{V}.width: a text instead of a whole number", lambda v, a: v.update(width="16")),
    Fault("wrong type", f"{V}.file_names[1]: the number 7 instead", lambda v, a: v["file_names"].__setitem__(1, 7)),
    Fault("wrong type", f"{A}.segmentations: an object instead of a list", lambda v, a: a.update(segmentations={})),
    Fault("wrong type", f"{A}.iscrowd: a text instead of 0 or 1", lambda v, a: a.update(iscrowd="no")),
    Fault("wrong type", f"{A}.id: true or false instead of a whole number", lambda v, a: a.update(id=True)),
    Fault("wrong type", f"{A}.bboxes[0]: a list of something else instead of 4 numbers", box([1, 2, 3])),
    Fault("NaN or Infinity", f"{A}.bboxes[0][2]: the number nan", box([2, 3, float("nan"), 4])),
    Fault("NaN or Infinity", f"{A}.areas[1]: the number inf", lambda v, a: a.update(areas=[1, float("inf")])),
    Fault("impossible mask", f"{A}.segmentations[0]: polygon 0 is not a list of numbers", mask("DEEP")),
    Fault("impossible size", f"{V}: 12 x 0", lambda v, a: v.update(width=0)),
    Fault("impossible size", f"{V}: 1000000 x 1000000", lambda v, a: v.update(width=10**6, height=10**6)),
    Fault("no frames", f"{V}.file_names: an empty list", lambda v, a: v.update(file_names=[])),
    Fault("wrong length", f"{V}.length: 3, but 2 files are named", lambda v, a: v.update(length=3)),
    Fault("wrong length", f"{A}.segmentations: 3 for 2 frames", lambda v, a: a["segmentations"].append(None)),
    Fault("wrong length", f"{A}.bboxes: 1 for 2 frames", lambda v, a: a["bboxes"].pop()),
    Fault("duplicate id", f"{V}.id: 1 is taken already", lambda v, a: v.update(id=1)),
    Fault("duplicate id", f"{A}.id: 1 is taken already", lambda v, a: a.update(id=1)),
    Fault("unknown id", f"{A}.video_id: 999", lambda v, a: a.update(video_id=999)),
    Fault("unknown id", f"{A}.category_id: 999", lambda v, a: a.update(category_id=999)),
    Fault(
        "empty track",
        f"{A}: not visible in any frame",
        lambda v, a: a.update(segmentations=[None] * 2, bboxes=[None] * 2),
    ),
    Fault("impossible mask", f"{A}.segmentations[0]: RLE size", mask({"size": [10**6, 10**6], "counts": "abc"})),
    Fault("impossible mask", f"{A}.segmentations[0]: RLE counts do not", mask({"size": [12, 16], "counts": [5]})),
    Fault("impossible mask", f"{A}.segmentations[0]: polygon 0 lies far", mask([[1, 1, 1e9, 1, 1, 1e9]])),
    Fault("zero area", f"{A}.segmentations[0]: an empty mask", mask({"size": [12, 16], "counts": [192]})),
    Fault("zero area", f"{A}.bboxes[0]: a box of 0 x 4", box([2, 3, 0, 4])),
    Fault("box out of the frame", f"{A}.bboxes[0]: [2, 3, 40, 4] in a frame of 12 x 16", box([2, 3, 40, 4])),
    Fault("box out of the frame", f"{A}.bboxes[0]: [-9, 3, 12, 4]", box([-9, 3, 12, 4])),
    Fault("box and mask disagree", f"{A}.bboxes[0]: [6, 3, 4, 4], but the mask's is [2, 3, 4, 4]", box([6, 3, 4, 4])),
    Fault("box and mask disagree", f"{A}.bboxes[0]: a mask without a box", box(None)),
    Fault("box and mask disagree", f"{A}.segmentations[0]: a box without a mask", mask(None)),
    Fault("missing frame", f"{V}.file_names[0]: ", damage=lambda path: path.unlink()),
    Fault("unreadable frame", f"{V}.file_names[0]: ", damage=cut_in_half),
    Fault("unreadable frame", f"{V}.file_names[0]: ", damage=lambda path: path.write_text("no picture")),
    Fault(
        "frame of another size",
        f"{V}.file_names[0]: ",
        damage=lambda path: Image.new("RGB", (WIDTH, HEIGHT + 1)).save(path),
    ),
]


def write_spoilt(folder: Path, faults: list[Fault]) -> None:
    """A sound video with one track, and one like it per fault, which is spoilt."""
    videos: list[Item] = []
    tracks: list[Item] = []
    for index in range(len(faults) + 1):
        names = [f"{index}/{frame}.png" for frame in range(2)]
        size = {"height": HEIGHT, "width": WIDTH}
        videos.append({"id": index + 1, **size, "length": 2, "file_names": names})
        tracks.append({"id": index + 1, "video_id": index + 1, "category_id": 4, "iscrowd": 0})
        tracks[-1].update(segmentations=[square(2, 3, 4)] * 2, bboxes=[[2, 3, 4, 4]] * 2)
        write_frames(folder / "JPEGImages", names)
    for fault, video, track in zip(faults, videos[1:], tracks[1:], strict=True):
        fault.damage(folder / "JPEGImages" / video["file_names"][0])
        fault.spoil(video, track)
    document = {"videos": videos, "categories": [{"id": 4, "name": "cat"}], "annotations": tracks}
    (folder / "train.json").write_text(json.dumps(document).replace('"DEEP"', DEEP))


def said_of(fault: Fault, index: int) -> str:
    return fault.line.replace("I]", f"{index}]")


def test_a_sound_set_has_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(tmp_path, small_document())
    assert run_check(tmp_path, None) == 0
    out = capsys.readouterr().out
    assert "train.json: 2 videos, 5 frames, 3 tracks, 6 masks" in out
    assert [line.split()[:2] for line in out.splitlines() if "#" in line] == [["cat", "2"], ["dog", "1"]]
    assert "fast motion 0 %, size change 50 %, aspect-ratio change 0 %" in out
    assert out.splitlines()[-1] == f"{tmp_path}: no faults"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.line.split("].")[-1][:40])
def test_each_fault_is_found(tmp_path: Path, fault: Fault, capsys: pytest.CaptureFixture[str]) -> None:
    write_spoilt(tmp_path, [fault])
    assert run_check(tmp_path, "train") == 3
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"train.json: {fault.kind}: ") for line in lines)
    assert any(line.startswith(f"  train.json {said_of(fault, 1)}") for line in lines)
    about_the_sound_one = [line for line in lines if "videos[0]" in line or "annotations[0]" in line]
    assert about_the_sound_one == []


def test_all_faults_are_found_in_one_run_in_a_process_that_survives(tmp_path: Path) -> None:
    write_spoilt(tmp_path, FAULTS)
    program = "import sys; from pathlib import Path; from mssts.tools.data_check import run_check;"
    program += "sys.exit(run_check(Path(sys.argv[1]), None, show_all=True))"
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    missing = [
        said_of(fault, index)
        for index, fault in enumerate(FAULTS, 1)
        if not any(line.startswith(f"  train.json {said_of(fault, index)}") for line in lines)
    ]
    assert missing == []
    assert any(line.endswith(": more than 60 levels") for line in lines)
    assert not any("videos[0]" in line or "annotations[0]" in line for line in lines)


def test_duplicate_categories_and_missing_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = small_document()
    document["categories"].append({"id": 4, "name": "bird"})
    write_set(tmp_path, document)
    assert run_check(tmp_path, "train") == 3
    assert "$.categories[2].id: 4 is taken already" in capsys.readouterr().out
    del document["categories"]
    write_set(tmp_path, document)
    assert run_check(tmp_path, "train") == 3
    out = capsys.readouterr().out
    assert "$.categories: missing" in out
    assert "unknown id" not in out  # one cause, one fault


def test_what_is_no_fault_is_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = small_document()
    del document["annotations"][1]
    document["annotations"][0]["iscrowd"] = 1
    write_set(tmp_path, document)
    write_set(tmp_path, {**small_document(), "annotations": None}, "valid.json", "valid/JPEGImages")
    assert run_check(tmp_path, None) == 0
    out = capsys.readouterr().out
    assert "train.json: note: 1 crowd tracks" in out
    assert "train.json: note: 1 videos without tracks" in out
    assert "valid.json: note: no ground truth" in out


NOTHING: dict[str, Callable[[Item], object]] = {
    "no list of annotations": lambda document: document.update(annotations=None),
    "no annotation": lambda document: document.update(annotations=[]),
    "crowds only": lambda document: [track.update(iscrowd=1) for track in document["annotations"]],
    "no videos": lambda document: document.update(videos=[], annotations=[]),
}


@pytest.mark.parametrize("take_all", NOTHING.values(), ids=NOTHING.keys())
def test_training_data_that_training_refuses_has_a_fault(
    tmp_path: Path, take_all: Callable[[Item], object], capsys: pytest.CaptureFixture[str]
) -> None:
    document = small_document()
    take_all(document)
    write_set(tmp_path, document)
    with pytest.raises(BadInputError):
        open_training_set([tmp_path], "train", None, AugmentationConfig())
    assert run_check(tmp_path, "train") == 3
    assert "train.json $.annotations: no object that is no crowd is visible" in capsys.readouterr().out


def test_many_faults_of_a_kind_are_counted_and_capped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_spoilt(tmp_path, [FAULTS[0]] * 30)
    assert run_check(tmp_path, None) == 3
    short = capsys.readouterr().out
    assert "train.json: missing key: 30" in short
    assert short.count(".height: missing") == 20
    assert "and 10 more (--all shows them)" in short
    assert short.splitlines()[-1] == f"{tmp_path}: 30 faults"
    run_check(tmp_path, None, show_all=True)
    assert capsys.readouterr().out.count(".height: missing") == 30


SOUND = json.dumps(small_document())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (SOUND[: len(SOUND) // 2].encode(), "cut off"),
        (SOUND.replace('"videos": [', '"videos": [,').encode(), "broken JSON"),
        (b"", "cut off"),
        (b"\xff\xfe" + SOUND.encode(), "not UTF-8"),
        (b"[1]", "a list instead of an object"),
        (b"[" * 100_000, "deep nesting"),
        (SOUND.replace('"id": 10', '"id": ' + "9" * 5000).encode(), "$.annotations[0].id: "),
    ],
)
def test_broken_files(tmp_path: Path, content: bytes, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(tmp_path, small_document()).write_bytes(content)
    assert run_check(tmp_path, "train") == 3
    assert words in capsys.readouterr().out


def test_names_cannot_break_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = small_document()
    document["videos"][0]["file_names"][1] = "a\nb\x1b[31m\ud800" + "x" * 9000 + "\0"
    write_set(tmp_path, document)
    assert run_check(tmp_path, "train") == 3
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "$.videos[0].file_names[1]" in line]
    assert "no such file" in line or len(line) < 400
    assert line.isprintable()


def test_no_folder_and_no_annotations(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no such file or folder"):
        run_check(tmp_path / "nothing", None)
    with pytest.raises(BadInputError, match="no annotations"):
        run_check(tmp_path, None)


def test_coco_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_set(tmp_path, coco_document(), "annotations/instances_val2017.json", "val2017")
    assert run_check(tmp_path, None) == 0
    out = capsys.readouterr().out
    assert "2 images, 2 annotations, 2 masks" in out
    assert "note: 1 crowd annotations" in out
    assert "note: 1 images without annotations" in out
    document = coco_document()
    document["annotations"][0].update(image_id=5, segmentation=[[1, 1]])
    document["annotations"][1].update(bbox=[0, 0, 0, 0])
    document["images"][0].update(id="1")
    document["images"][1].update(file_name="b/none.jpg")
    path.write_text(json.dumps(document))
    assert run_check(tmp_path, "val2017") == 3
    out = capsys.readouterr().out
    for words in (
        "$.annotations[0].image_id: 5",
        "$.annotations[1].bbox: a box of 0 x 0",
        "$.images[0].id: a text instead of a whole number",
        "$.images[1].file_name: ",
    ):
        assert words in out


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    write_set(folder, small_document())
    return folder


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a document with each of its keys or indices."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


VALUES = st.sampled_from(
    [None, True, 0, -1, 1, 3, 2**40, 2**63, 10**30, 1.5, 1e308, -1e308, float("nan"), "", "x", "\0", [], {}, [[]], [{}]]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), VALUES | st.just("DELETE")), min_size=1, max_size=3))
def test_what_the_loader_refuses_is_a_fault(frames: Path, changes: list[tuple[int, Any]]) -> None:
    """Any values replaced or removed: the check never crashes and is never more lenient than the loader."""
    document = small_document()
    for position, value in changes:
        available = places(document)
        container, key = available[position % len(available)]
        if value == "DELETE":
            del container[key]
        else:
            container[key] = copy.deepcopy(value)
    path = frames / "train.json"
    path.write_text(json.dumps(document))
    findings, _ = check_annotations(path, frames)
    try:
        load_video_set(frames)
    except BadInputError:
        assert findings.num_faults > 0


@pytest.mark.parametrize(("name", "split"), [("vis-real", None), ("coco-real", "val2017")])
def test_real_sets_are_clean(name: str, split: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    if not (REAL / name).is_dir():
        pytest.skip(f"no real data at {REAL / name}")
    code = run_check(REAL / name, split)
    assert (code, capsys.readouterr().out.splitlines()[-1]) == (0, f"{REAL / name}: no faults")
