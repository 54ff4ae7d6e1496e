"""A program for `test_torch_compile`: clips through the bundled model, compiled and not; prints what it saw as JSON.

It is one of its own because the tests' checks of shapes, which wrap every function, would break the graphs.
"""

import json
from unittest import mock

import torch
from torch._dynamo.utils import counters

import mssts
from mssts.model import deformable_numba
from mssts.model.deformable_numba import sample_deformable_numba

# Windows of a video, of which the last one is shorter.
SHAPES = ((5, 96, 128), (5, 96, 128), (5, 96, 128), (3, 96, 128))
OUTPUTS = ("class_logits", "boxes_cxcywh", "reference_points", "mask_kernels", "embeddings", "mask_features")


@torch.inference_mode()
def main() -> None:
    plain, compiled = (mssts.load("tiny", "cpu", compile=wanted).model for wanted in (False, True))
    sampled = mock.Mock(wraps=sample_deformable_numba)
    seen = []
    with mock.patch.object(deformable_numba, "sample_deformable_numba", sampled):
        for index, (frames, height, width) in enumerate(SHAPES):
            clip = torch.randn(1, frames, 3, height, width, generator=torch.Generator().manual_seed(index))
            expected = plain(clip)
            before = sampled.call_count
            found = compiled(clip)
            pairs = [(getattr(expected, name), getattr(found, name)) for name in OUTPUTS]
            difference = max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)
            graphs = counters["stats"]["unique_graphs"]
            seen.append({"difference": difference, "numba_calls": sampled.call_count - before, "graphs": graphs})
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
