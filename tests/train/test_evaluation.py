"""The set that a training is evaluated on: whole or not there, and the one that was asked for."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from training import SMALL

from mssts.data.synthetic_set import write_synthetic_set
from mssts.errors import BadInputError
from mssts.train import evaluation
from mssts.train.evaluation import validation_set

ASKED = replace(SMALL.evaluation, data="synthetic", num_videos=2)


def test_another_number_of_videos_is_another_set(tmp_path: Path) -> None:
    config = replace(SMALL, out=tmp_path, evaluation=ASKED)
    assert len(validation_set(config).videos) == 2
    assert len(validation_set(replace(config, evaluation=replace(ASKED, num_videos=3))).videos) == 3
    wide = replace(config, synthetic=replace(config.synthetic, width=128))
    assert {video.width for video in validation_set(wide).videos} == {128}


def test_a_set_that_was_interrupted_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(out: Path, split: str, *_: object, **__: object) -> None:
        (out / split).mkdir()
        raise KeyboardInterrupt

    config = replace(SMALL, out=tmp_path, evaluation=ASKED)
    monkeypatch.setattr(evaluation, "write_synthetic_set", die)
    with pytest.raises(KeyboardInterrupt):
        validation_set(config)
    monkeypatch.undo()
    assert len(validation_set(config).videos) == 2


def test_processes_that_share_a_run_folder_share_the_set(tmp_path: Path) -> None:
    config = replace(SMALL, out=tmp_path, evaluation=ASKED)
    with ThreadPoolExecutor(3) as pool:
        sets = list(pool.map(validation_set, [config] * 3))
    assert sets[0] == sets[1] == sets[2]
    assert [path.name for path in tmp_path.iterdir()] == ["validation-2-64x96"]


def test_the_set_trained_on_can_be_the_one_to_evaluate_on(tmp_path: Path) -> None:
    write_synthetic_set(tmp_path / "mine", "train", 2, 3, 64, 96, progress=False)
    same = replace(SMALL.evaluation, data="same", split="train")
    truth = validation_set(replace(SMALL, data=(str(tmp_path / "mine"),), evaluation=same))
    assert truth.path == tmp_path / "mine" / "train" / "instances.json"


def test_images_cannot_be_the_set_to_evaluate_on(tmp_path: Path) -> None:
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    (tmp_path / "coco" / "annotations" / "instances_train.json").write_text('{"images": [], "annotations": []}')
    write_synthetic_set(tmp_path / "mine", "train", 2, 3, 64, 96, progress=False)
    images, videos = str(tmp_path / "coco"), str(tmp_path / "mine")
    config = replace(SMALL, data=(images, videos), evaluation=replace(SMALL.evaluation, data="same", split="train"))
    assert validation_set(config).path == tmp_path / "mine" / "train" / "instances.json"
    with pytest.raises(BadInputError, match="images have no tracks to evaluate"):
        validation_set(replace(config, data=(images,)))


def test_which_of_the_two_splits_is_missing_is_told(tmp_path: Path) -> None:
    write_synthetic_set(tmp_path, "train", 2, 3, 64, 96, progress=False)
    asked = replace(SMALL.evaluation, data=str(tmp_path), split="valid")
    with pytest.raises(BadInputError, match=r"^--evaluation\.split valid: .*it has those of train$"):
        validation_set(replace(SMALL, evaluation=asked))
