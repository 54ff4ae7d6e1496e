"""The checker of golden cases: it holds on the official code's numbers, and it can fail."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from official_names import official_shapes

from mssts.config import ModelConfig
from mssts.model.mask_head import predict_masks
from mssts.tools.convert_seqformer import convert
from mssts.tools.golden import main, pad_batch, read_case

GOLDEN = Path(os.environ.get("MSSTS_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))
NUM_QUERIES = 4
WEIGHTS_PY = """
import json, zlib
import numpy as np

def make_state_dict(manifest, seed):
    return {name: make(name, shape, seed) for name, shape in json.loads(open(manifest).read()).items()}

def make(name, shape, seed):
    name = name.replace("transformer.decoder.bbox_embed", "bbox_embed")
    noise = np.random.default_rng([zlib.crc32(name.encode()), seed]).standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        return 1 + abs(noise)
    return noise / np.float32(max(noise[0].size, 1) ** 0.5) if noise.ndim > 1 else noise / 4

def make_clip(frames, height, width, seed):
    return np.random.default_rng(seed).standard_normal((frames, 3, height, width)).astype(np.float32)
"""


@pytest.mark.parametrize("name", ["seqformer_small", pytest.param("seqformer_padded_batch", id="padding_in_a_batch")])
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
    """A small case whose numbers this project printed itself: good for seeing whether the checker can fail."""
    folder = tmp_path_factory.mktemp("golden") / "case"
    folder.mkdir()
    (folder.parent / "weights.py").write_text(WEIGHTS_PY)
    config = ModelConfig(
        hidden_dim=32, feedforward_dim=32, num_encoder_layers=1, num_decoder_layers=1, num_queries=NUM_QUERIES
    )
    (folder / "manifest.json").write_text(json.dumps(official_shapes(config)))
    case = {"weights_seed": 1, "frames": 2, "sizes_hw": [[32, 64], [64, 32]], "clip_seeds": [5, 6]}
    case |= {"num_queries": NUM_QUERIES, "matches_per_layer": [[[[1, 3], [1, 0]], [[2], [0]]]]}
    (folder / "case.json").write_text(json.dumps(case))
    save_arrays(folder, {})
    save_arrays(folder, _own_numbers(folder))
    return folder


@torch.no_grad()
def _own_numbers(folder: Path) -> dict[str, np.ndarray]:
    golden = read_case(folder)
    model = convert({name: torch.from_numpy(value) for name, value in golden.weights.items()}).model
    expected: dict[str, np.ndarray] = {}
    alone, together = model(torch.from_numpy(golden.clips[0])[None]), model(*pad_batch(golden.clips))
    for name, output in (("inference", alone), ("train", together)):
        expected[f"{name}_pred_logits"] = output.class_logits[-1].numpy()
        expected[f"{name}_pred_boxes"] = output.boxes_cxcywh[-1].numpy()
    features, kernels, points = alone.mask_features, alone.mask_kernels[-1], alone.reference_points[-1]
    expected["inference_pred_masks"] = predict_masks(features, kernels, points, golden.sizes[:1]).numpy()
    features, kernels, points = together.mask_features, together.mask_kernels[-1], together.reference_points[-1]
    masks = predict_masks(features, kernels, points, golden.sizes).numpy()
    for index, queries in enumerate(([1, 3], [2])):
        expected[f"train_matched_masks_{index}"] = masks[index : index + 1, queries]
    return expected


def save_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    with zipfile.ZipFile(folder / "expected.npz", "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)


def copy_with(own_case: Path, target: Path, **changed: np.ndarray) -> Path:
    shutil.copytree(own_case.parent, target)
    with np.load(own_case / "expected.npz") as arrays:
        save_arrays(target / "case", {**arrays, **changed})
    return target / "case"


def test_checker_holds_on_its_own_numbers(own_case: Path) -> None:
    assert main([str(own_case)]) == 0


@pytest.mark.parametrize("value", [0.01, float("nan")])
@pytest.mark.parametrize("quantity", ["inference_pred_logits", "train_pred_boxes", "train_matched_masks_1"])
def test_checker_fails_on_one_wrong_number(own_case: Path, tmp_path: Path, quantity: str, value: float) -> None:
    with np.load(own_case / "expected.npz") as arrays:
        wrong = arrays[quantity]
    wrong[(0,) * wrong.ndim] += value * (np.abs(wrong).max() if "masks" in quantity else 1)
    assert main([str(copy_with(own_case, tmp_path / "copy", **{quantity: wrong}))]) == 1


def test_checker_fails_on_one_wrong_weight(own_case: Path, tmp_path: Path) -> None:
    folder = copy_with(own_case, tmp_path / "copy")
    corrupt = "make_honest = make\ndef make(name, *rest):\n    weight = make_honest(name, *rest)\n"
    corrupt += "    return weight + np.float32(0.05) * (name == 'detr.class_embed.0.bias')\n"
    (folder.parent / "weights.py").write_text(WEIGHTS_PY + corrupt)
    assert main([str(folder)]) == 1


@pytest.mark.parametrize("missing", ["case.json", "manifest.json", "expected.npz", "../weights.py"])
def test_checker_names_a_missing_file(
    own_case: Path, tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_with(own_case, tmp_path / "copy")
    (folder / missing).unlink()
    assert main([str(folder)]) == 3
    error = capsys.readouterr().err
    assert Path(missing).name in error
    assert error.count("\n") == 1
