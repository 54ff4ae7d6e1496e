"""A small folder in the form of the golden cases whose numbers this project printed itself.

It says nothing about the official code; with it the tests see whether the checker can fail.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from official_names import official_shapes

from mssts.config import ModelConfig
from mssts.loss.criterion import Criterion
from mssts.model.mask_head import predict_masks
from mssts.tools.convert_seqformer import convert
from mssts.tools.golden import case_targets, pad_batch, read_case

NUM_FRAMES = 2
SIZES = [(32, 64), (64, 32)]
LABELS = [[3, 7], [5]]
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


def write_case(folder: Path) -> None:
    """Fill the folder, and put weights.py beside it."""
    folder.mkdir()
    (folder.parent / "weights.py").write_text(WEIGHTS_PY)
    config = ModelConfig(hidden_dim=32, feedforward_dim=32, num_encoder_layers=1, num_decoder_layers=1, num_queries=4)
    (folder / "manifest.json").write_text(json.dumps(official_shapes(config)))
    case = {"weights_seed": 1, "frames": NUM_FRAMES, "sizes_hw": SIZES, "clip_seeds": [5, 6], "num_queries": 4}
    save_case(folder, case)
    save_arrays(folder, _targets())
    numbers, losses = _run(folder)
    save_arrays(folder, _targets() | numbers)
    save_case(folder, case | losses)


def _targets() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    arrays: dict[str, np.ndarray] = {}
    for index, ((height, width), labels) in enumerate(zip(SIZES, LABELS, strict=True)):
        shape = (len(labels), NUM_FRAMES)
        arrays[f"target_{index}_labels"] = np.array(labels)
        arrays[f"target_{index}_boxes_cxcywh"] = random.uniform(0.2, 0.6, (*shape, 4)).astype(np.float32)
        arrays[f"target_{index}_masks"] = np.packbits(random.random((*shape, height, width)) > 0.5)
    return arrays


@torch.no_grad()
def _run(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    golden = read_case(folder)
    model = convert({name: torch.from_numpy(value) for name, value in golden.weights.items()}).model
    alone, together = model(torch.from_numpy(golden.clips[0])[None]), model(*pad_batch(golden.clips))
    criterion = Criterion()(together, case_targets(golden), golden.sizes)
    matches = [[[m.query_index.tolist(), m.target_index.tolist()] for m in layer] for layer in criterion.matches]
    numbers: dict[str, np.ndarray] = {}
    for name, output in (("inference", alone), ("train", together)):
        numbers[f"{name}_pred_logits"] = output.class_logits[-1].numpy()
        numbers[f"{name}_pred_boxes"] = output.boxes_cxcywh[-1].numpy()
    features, kernels, points = alone.mask_features, alone.mask_kernels[-1], alone.reference_points[-1]
    numbers["inference_pred_masks"] = predict_masks(features, kernels, points, SIZES[:1]).numpy()
    features, kernels, points = together.mask_features, together.mask_kernels[-1], together.reference_points[-1]
    masks = predict_masks(features, kernels, points, SIZES).numpy()
    for index, (queries, _) in enumerate(matches[-1]):
        numbers[f"train_matched_masks_{index}"] = masks[index : index + 1, queries]
    losses = {name: float(value) for name, value in criterion.losses.named().items()}
    return numbers, {"matches_per_layer": matches, "losses": losses, "weighted_total": float(criterion.total)}


def save_case(folder: Path, case: dict[str, Any]) -> None:
    (folder / "case.json").write_text(json.dumps(case))


def save_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    with zipfile.ZipFile(folder / "expected.npz", "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
