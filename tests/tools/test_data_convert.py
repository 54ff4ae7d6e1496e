import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mssts.data.check import check_annotations
from mssts.data.video_set import load_video_set
from mssts.errors import BadInputError
from mssts.tools.data_convert import run_data_convert
from mssts.tools.data_options import add_data_convert_options


def run(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    add_data_convert_options(parser)
    return run_data_convert(parser.parse_args([*map(str, words), "--quiet"]))


@pytest.mark.parametrize(
    ("form", "value", "pictures", "masks"),
    [("davis", 3, "JPEGImages/480p/a", "Annotations/480p/a"), ("mots", 2003, "training/image_02/a", "instances/a")],
)
def test_a_converted_set_has_no_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, value: int, pictures: str, masks: str
) -> None:
    for frame in range(3):
        for folder in (pictures, masks):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20)).save(tmp_path / pictures / f"{frame:05d}.jpg")
        ids = np.zeros((20, 30), dtype=np.uint16 if form == "mots" else np.uint8)
        ids[2:9, 5 + frame : 15] = value
        if frame < 2:
            Image.fromarray(ids).save(tmp_path / masks / f"{frame:05d}.png")
    assert run("--from", form, "--to", "ytvis", tmp_path, tmp_path / "out", "--split", "valid") == 0
    path = tmp_path / "out" / "valid" / "instances.json"
    assert capsys.readouterr().out.splitlines() == [
        "left out: 1 frames without a mask",
        f"wrote {path}: 1 videos, 2 frames, 1 instances",
    ]
    assert load_video_set(tmp_path / "out", "valid").tracks[0].boxes_xywh == ((5, 2, 10, 7), (6, 2, 9, 7))
    findings, _ = check_annotations(path, tmp_path / "out")
    assert findings.num_faults == 0


def test_every_form_has_its_converter(tmp_path: Path) -> None:
    for form, message in (("davis", "not a DAVIS"), ("mots", "not a MOTS"), ("coco", "no COCO annotations")):
        with pytest.raises(BadInputError, match=message):
            run("--from", form, tmp_path, tmp_path / "out")
