"""The checker of golden cases: it holds on the official code's numbers, and it can fail."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from official_names import official_shapes
from own_golden_case import WEIGHTS_PY, save_arrays, save_case, write_case

from mssts.config import ModelConfig
from mssts.tools.golden import main

GOLDEN = Path(os.environ.get("MSSTS_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))
NAMES = ["seqformer_small", pytest.param("seqformer_padded_batch", id="seqformer_padded_batch-padding")]


@pytest.mark.parametrize("name", NAMES)
def test_official_numbers_hold(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not (GOLDEN / name).is_dir():
        pytest.skip(f"no golden numbers at {GOLDEN / name}; set MSSTS_GOLDEN to the folder that holds them")
    assert main([str(GOLDEN / name)]) == 0
    assert capsys.readouterr().out.count(" ok\n") >= 6


def test_official_names_of_these_tests_are_the_official_ones() -> None:
    manifest = GOLDEN / "seqformer_small" / "manifest.json"
    if not manifest.is_file():
        pytest.skip(f"no golden manifest at {manifest}; set MSSTS_GOLDEN to the folder that holds it")
    expected = {name: tuple(shape) for name, shape in json.loads(manifest.read_text()).items()}
    assert official_shapes(ModelConfig(num_encoder_layers=2, num_decoder_layers=2, num_queries=12)) == expected


@pytest.fixture(scope="module")
def own_case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden") / "case"
    write_case(folder)
    return folder


@pytest.fixture
def copied_case(own_case: Path, tmp_path: Path) -> Path:
    shutil.copytree(own_case.parent, tmp_path / "copy")
    return tmp_path / "copy" / "case"


def change_case(folder: Path, **changed: Any) -> None:
    save_case(folder, json.loads((folder / "case.json").read_text()) | changed)


def test_checker_holds_on_its_own_numbers(own_case: Path) -> None:
    assert main([str(own_case)]) == 0


@pytest.mark.parametrize(
    ("quantity", "value"),
    [("inference_pred_logits", 0.01), ("train_pred_boxes", float("nan")), ("train_matched_masks_1", 0.01)],
)
def test_checker_fails_on_one_wrong_number(copied_case: Path, quantity: str, value: float) -> None:
    with np.load(copied_case / "expected.npz") as npz:
        arrays = dict(npz)
    wrong = arrays[quantity]
    wrong[(0,) * wrong.ndim] += value * (np.abs(wrong).max() if "masks" in quantity else 1)
    save_arrays(copied_case, arrays)
    assert main([str(copied_case)]) == 1


def test_checker_fails_on_one_wrong_weight(copied_case: Path) -> None:
    corrupt = "make_honest = make\ndef make(name, *rest):\n    weight = make_honest(name, *rest)\n"
    corrupt += "    return weight + np.float32(0.05) * (name == 'detr.class_embed.0.bias')\n"
    (copied_case.parent / "weights.py").write_text(WEIGHTS_PY + corrupt)
    assert main([str(copied_case)]) == 1


def test_checker_fails_on_another_match(copied_case: Path) -> None:
    [[[queries, targets], second]] = json.loads((copied_case / "case.json").read_text())["matches_per_layer"]
    change_case(copied_case, matches_per_layer=[[[queries, targets[::-1]], second]])
    assert main([str(copied_case)]) == 1


def test_checker_fails_on_another_loss(copied_case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    losses = json.loads((copied_case / "case.json").read_text())["losses"]
    name = next(iter(losses))
    change_case(copied_case, losses=losses | {name: losses[name] * 1.001})
    assert main([str(copied_case)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.endswith("TOO LARGE")]
    assert len(lines) == 1
    assert name in lines[0]


@pytest.mark.parametrize("missing", ["case.json", "manifest.json", "expected.npz", "../weights.py"])
def test_checker_names_a_missing_file(copied_case: Path, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    (copied_case / missing).unlink()
    assert main([str(copied_case)]) == 3
    error = capsys.readouterr().err
    assert Path(missing).name in error
    assert error.count("\n") == 1
