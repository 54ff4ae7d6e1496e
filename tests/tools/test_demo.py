"""The bundled model on the bundled clip: its tracks follow the objects, and both inference modes agree."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

import mssts
from mssts.api import Mode
from mssts.assets import asset_path
from mssts.cli import main
from mssts.tools.demo_clip import demo_video

Tubes = dict[int, np.ndarray]
MAX_BUNDLED_BYTES = 12e6


def tube_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks over the whole video."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def match(first: list[np.ndarray], second: list[np.ndarray]) -> list[float]:
    """IoU of each pair of the best assignment between two sets of tubes."""
    overlaps = np.array([[tube_iou(a, b) for b in second] for a in first])
    return [float(overlaps[pair]) for pair in zip(*linear_sum_assignment(-overlaps), strict=True)]


def tubes_of(segmentations: list[dict | None], shape: tuple[int, int]) -> np.ndarray:
    """A track's masks, empty where it is not visible."""
    empty = np.zeros(shape, dtype=bool)
    return np.stack([coco_mask.decode(code).astype(bool) if code else empty for code in segmentations])


@pytest.fixture(scope="module")
def truth() -> list[np.ndarray]:
    return list(demo_video().masks)


def predicted(mode: Mode, shape: tuple[int, int]) -> list[np.ndarray]:
    """The tubes of all tracks that one mode finds in the bundled clip."""
    result = mssts.load("tiny").predict(asset_path("demo.mp4"), mode=mode)
    return [tubes_of(track.segmentations, shape) for track in result.tracks]


def test_demo_tracks_follow_the_objects(tmp_path: Path, truth, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    assert "overlay.mp4" in capsys.readouterr().out
    entries = json.loads((tmp_path / "demo" / "results.json").read_text())
    tubes = [tubes_of(entry["segmentations"], truth[0].shape[1:]) for entry in entries]
    followed = [iou for iou in match(truth, tubes) if iou > 0.6]
    assert len(followed) >= 3
    # A second demo replaces the first.
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0


def test_windowed_and_single_pass_tracks_agree(truth):
    shape = truth[0].shape[1:]
    windowed, single = predicted("near-online", shape), predicted("offline", shape)
    # A track that only one mode has counts as no agreement at all.
    agreement = sum(match(windowed, single)) / max(len(windowed), len(single))
    print(f"{len(windowed)} and {len(single)} tracks, mean IoU {agreement:.3f}")
    assert agreement >= 0.8


def test_bundled_files_are_small():
    assert sum(path.stat().st_size for path in asset_path("").iterdir() if path.is_file()) < MAX_BUNDLED_BYTES
