"""Compare this implementation with numbers printed by the official code: `python -m mssts.tools.golden DIR`.

DIR holds `case.json`, `manifest.json` and `expected.npz`; its parent folder holds `weights.py`, which makes the weights
and the input clips from seeds. Prints one line per quantity with its largest error; exit code 1 if one is too large.
"""

import argparse
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mssts.errors import BadInputError
from mssts.loss.criterion import Criterion, CriterionOutput
from mssts.model.mask_head import predict_masks
from mssts.model.vis import VisModel
from mssts.tools.convert_seqformer import convert
from mssts.types import Prediction, Targets

ABSOLUTE_TOLERANCE = 1e-4
RELATIVE_LOSS_TOLERANCE = 1e-4
RELATIVE_MASK_TOLERANCE = 1e-3
BATCH_MULTIPLE = 32


class Deviation(NamedTuple):
    """The largest error of one quantity, and how large it may be."""

    quantity: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the error is within the tolerance (a NaN is not)."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class GoldenCase:
    """One folder of golden numbers: what went in and what the official code made of it."""

    case: Mapping[str, Any]
    expected: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]
    clips: list[np.ndarray]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of each clip in pixels."""
        return [(height, width) for height, width in self.case["sizes_hw"]]


def read_case(folder: Path) -> GoldenCase:
    """Read a golden folder and make its weights and clips.

    Raises:
        BadInputError: A file of the case is missing.
    """
    for path in (folder / "case.json", folder / "manifest.json", folder / "expected.npz", folder.parent / "weights.py"):
        if not path.is_file():
            raise BadInputError(f"{path}: missing, the folder is not a golden case")
    maker = _import_file(folder.parent / "weights.py")
    case = json.loads((folder / "case.json").read_text())
    clips = [
        maker.make_clip(case["frames"], height, width, seed)
        for (height, width), seed in zip(case["sizes_hw"], case["clip_seeds"], strict=True)
    ]
    with np.load(folder / "expected.npz") as arrays:
        expected = dict(arrays)
    return GoldenCase(case, expected, maker.make_state_dict(folder / "manifest.json", case["weights_seed"]), clips)


def case_targets(golden: GoldenCase) -> list[Targets]:
    """The truth of each clip."""
    clips = []
    for index, (height, width) in enumerate(golden.sizes):
        labels = torch.from_numpy(golden.expected[f"target_{index}_labels"])
        shape = (len(labels), golden.case["frames"], height, width)
        bits = np.unpackbits(golden.expected[f"target_{index}_masks"])[: np.prod(shape)]
        masks = torch.from_numpy(bits.reshape(shape).astype(bool))
        clips.append(Targets(labels, torch.from_numpy(golden.expected[f"target_{index}_boxes_cxcywh"]), masks))
    return clips


def _import_file(path: Path) -> ModuleType:
    """Import a Python file by its path."""
    spec = importlib.util.spec_from_file_location("golden_weights", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pad_batch(clips: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Pad clips right and bottom to the largest, then to a multiple of 32; returns frames and padding mask."""
    heights, widths = zip(*(clip.shape[-2:] for clip in clips), strict=True)
    height, width = (-(-max(side) // BATCH_MULTIPLE) * BATCH_MULTIPLE for side in (heights, widths))
    frames = [F.pad(torch.from_numpy(c), (0, width - c.shape[-1], 0, height - c.shape[-2])) for c in clips]
    padding_mask = torch.ones(len(clips), height, width, dtype=torch.bool)
    for mask, clip in zip(padding_mask, clips, strict=True):
        mask[: clip.shape[-2], : clip.shape[-1]] = False
    return torch.stack(frames), padding_mask


def compare(golden: GoldenCase) -> Iterator[Deviation]:
    """Run the converted model on the case's clips and yield the error of each quantity."""
    model = convert({name: torch.from_numpy(value) for name, value in golden.weights.items()}).model.requires_grad_(
        False
    )
    yield from _compare_inference(model, golden)
    yield from _compare_batch(model, golden)


def _compare_inference(model: VisModel, golden: GoldenCase) -> Iterator[Deviation]:
    """The first clip alone, without padding, masks of all queries."""
    prediction = model(torch.from_numpy(golden.clips[0])[None])
    yield from _compare_queries("inference", prediction, golden)
    masks = predict_masks(*_last_layer_masks(prediction, torch.arange(golden.case["num_queries"])), golden.sizes[:1])
    yield _relative("inference masks", masks, golden.expected["inference_pred_masks"])


def _compare_batch(model: VisModel, golden: GoldenCase) -> Iterator[Deviation]:
    """All clips in one padded batch, masks of the queries that the official matcher chose."""
    frames, padding_mask = pad_batch(golden.clips)
    prediction = model(frames, padding_mask if padding_mask.any() else None)
    yield from _compare_queries("train", prediction, golden)
    for index, (queries, _) in enumerate(golden.case["matches_per_layer"][-1]):
        clip = _one_clip(prediction, index)
        masks = predict_masks(*_last_layer_masks(clip, torch.tensor(queries)), [golden.sizes[index]])
        yield _relative(f"train masks of clip {index}", masks, golden.expected[f"train_matched_masks_{index}"])
    yield from _compare_losses(Criterion()(prediction, case_targets(golden), golden.sizes), golden)


def _compare_losses(output: CriterionOutput, golden: GoldenCase) -> Iterator[Deviation]:
    """Matches of every decoder layer, which must be equal, and every loss that the official criterion minimises."""
    ours = [[[found.query_index.tolist(), found.target_index.tolist()] for found in layer] for layer in output.matches]
    wrong = sum(mine != official for mine, official in zip(ours, golden.case["matches_per_layer"], strict=True))
    yield Deviation("layers with other matches", wrong, 0)
    pairs = {name: (float(loss), golden.case["losses"][name]) for name, loss in output.losses.named().items()}
    pairs["weighted total"] = (float(output.total), golden.case["weighted_total"])
    for name, (loss, official) in pairs.items():
        yield Deviation(f"{name} (relative)", abs(loss - official) / max(abs(official), 1e-12), RELATIVE_LOSS_TOLERANCE)


def _compare_queries(pass_name: str, prediction: Prediction, golden: GoldenCase) -> Iterator[Deviation]:
    """Logits and boxes of the last decoder layer."""
    for quantity, ours in (("logits", prediction.class_logits[-1]), ("boxes", prediction.boxes_cxcywh[-1])):
        error = np.abs(ours.numpy() - golden.expected[f"{pass_name}_pred_{quantity}"]).max()
        yield Deviation(f"{pass_name} {quantity}", float(error), ABSOLUTE_TOLERANCE)


def _relative(quantity: str, ours: Tensor, expected: np.ndarray) -> Deviation:
    """The largest difference as a share of the largest expected magnitude; an empty array has none."""
    if ours.shape != expected.shape:
        return Deviation(f"{quantity} (shape {tuple(ours.shape)}, not {expected.shape})", float("inf"), 0.0)
    scale = np.abs(expected).max(initial=1e-12)
    error = np.abs(ours.numpy() - expected).max(initial=0.0) / scale
    return Deviation(f"{quantity} (relative)", float(error), RELATIVE_MASK_TOLERANCE)


def _one_clip(prediction: Prediction, index: int) -> Prediction:
    """The prediction of one clip of a batch, still with a batch axis."""
    clip = slice(index, index + 1)
    return Prediction(
        class_logits=prediction.class_logits[:, clip],
        boxes_cxcywh=prediction.boxes_cxcywh[:, clip],
        reference_points=prediction.reference_points[:, clip],
        mask_kernels=prediction.mask_kernels[:, clip],
        embeddings=prediction.embeddings[:, clip],
        mask_features=prediction.mask_features[clip],
        memory=(),
    )


def _last_layer_masks(prediction: Prediction, queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The arguments of `predict_masks` for some queries of a clip."""
    kernels = prediction.mask_kernels[-1][:, queries]
    return prediction.mask_features, kernels, prediction.reference_points[-1][:, :, queries]


def main(arguments: list[str] | None = None) -> int:
    """Print the deviations of the folders given; 0 if all hold, 1 if not, 3 if a folder is not a golden case."""
    parser = argparse.ArgumentParser(
        prog="python -m mssts.tools.golden", description="Compare with numbers printed by the official code."
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    holds = True
    for folder in parser.parse_args(arguments).folders:
        try:
            golden = read_case(folder)
        except BadInputError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
        for deviation in compare(golden):
            verdict = "ok" if deviation.holds else "TOO LARGE"
            print(
                f"{folder.name}: {deviation.quantity:<34} {deviation.error:.2e} <= {deviation.tolerance:.0e} {verdict}"
            )
            holds &= deviation.holds
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
