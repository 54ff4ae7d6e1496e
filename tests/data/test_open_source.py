from pathlib import Path

import numpy as np
import pytest
from marker_set import PLAIN, assert_well_formed, write_marker_images, write_marker_videos

from mssts.data.augmentation import AugmentationConfig
from mssts.data.joint import JointClips
from mssts.data.open_source import open_training_set
from mssts.errors import BadInputError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def test_both_forms_are_recognised_as_folders_and_as_files(tmp_path: Path) -> None:
    videos, images = write_marker_videos(tmp_path / "videos"), write_marker_images(tmp_path / "images")
    for source, items in ((videos, 8), (videos.parent, 8), (images, 1), (images.parents[1], 1)):
        assert len(open_training_set([source], "train", None, PLAIN)) == items


def test_joint_set_has_the_first_sets_slots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_marker_videos(tmp_path / "videos")
    path = write_marker_images(tmp_path / "images")
    path.write_text(path.read_text().replace('"blue"', '"violet"').replace('"id": 30, "name"', '"id": 31, "name"')
                    .replace('"category_id": 30', '"category_id": 31'))  # fmt: skip
    joint = open_training_set([tmp_path / "videos", tmp_path / "images"], "train", None, PLAIN)
    assert capsys.readouterr().out == f"{path}: 1 of 4 categories are not among the model's and are left out: violet\n"
    assert [(category.slot, category.id, category.name) for category in joint.categories] == [
        (0, 5, "rest"),
        (1, 10, "green"),
        (2, 20, "blue"),
        (3, 30, "red"),
    ]
    assert len(joint) == 9
    seen = [set(joint.sample(8, 3, np.random.default_rng(seed), 0.0).targets.labels.tolist()) for seed in range(8)]
    assert set().union(*seen) == {1, 3}  # green, and red by its name; blue is violet here and left out
    first = joint.sample(2, 3, np.random.default_rng(0), 0.0)
    alone = open_training_set([tmp_path / "videos"], "train", None, PLAIN).sample(2, 3, np.random.default_rng(0), 0.0)
    assert first.frames.equal(alone.frames)


def test_joining_sources_of_different_slots_is_refused(tmp_path: Path) -> None:
    path = write_marker_videos(tmp_path)
    first = open_training_set([path], "train", None, PLAIN)
    path.write_text(path.read_text().replace('"blue"', '"violet"'))
    second = open_training_set([path], "train", None, PLAIN)
    with pytest.raises(ValueError, match="different categories"):
        JointClips([first, second])


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    path = write_marker_videos(tmp_path)
    with pytest.raises(BadInputError, match="none of its categories"):
        open_training_set([path], "train", "ytvis2019", PLAIN)
    with pytest.raises(BadInputError, match="no annotations of the split valid"):
        open_training_set([tmp_path], "valid", None, PLAIN)
    with pytest.raises(BadInputError, match="no such file or folder"):
        open_training_set([tmp_path / "nowhere"], "train", None, PLAIN)
    with pytest.raises(ValueError, match="ytvis2020"):
        open_training_set([path], "train", "ytvis2020", PLAIN)
    path.write_text("{")
    with pytest.raises(BadInputError, match=r"train\.json"):
        open_training_set([path], "train", None, PLAIN)


@pytest.mark.parametrize(
    ("folders", "categories", "slots"),
    [
        (("vis-real",), None, 56),
        (("vis-real",), "ytvis2019", 42),
        (("coco-real",), None, 80),
        (("coco-real",), "ytvis2021", 42),
        (("vis-real", "coco-real"), None, 56),
    ],
)
def test_real_sets(folders: tuple[str, ...], categories: str | None, slots: int) -> None:
    if not SHARED.is_dir():
        pytest.skip("the real sets are not beside the repository")
    config = AugmentationConfig(
        short_sides=(96, 128), max_long_side=208, crop_short_sides=(128, 160), crop_sides=(96, 128)
    )
    source = open_training_set([SHARED / folder for folder in folders], "train", categories, config)
    random = np.random.default_rng(0)
    num_seen = 0
    for _ in range(20):
        index = int(random.integers(len(source)))
        sample = source.sample(index, int(random.integers(1, 6)), random, 0.0)
        assert_well_formed(sample, len(sample.frames), slots)
        num_seen += len(sample.targets.labels) > 0
    assert num_seen >= 18
