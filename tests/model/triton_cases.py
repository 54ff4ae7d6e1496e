"""Compare the Triton form with the plain one; prints a JSON object of errors by case.

`TRITON_INTERPRET=1 python triton_cases.py cpu` runs the kernels on a CPU, slowly. The variable must be set before
Triton is imported, so this is a program of its own.
"""

import json
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from mssts.model.deformable import sample_deformable_reference
from mssts.model.deformable_triton import sample_deformable_triton

SHAPES = ((5, 7), (3, 4), (1, 1))
HEADS, POINTS = 2, 2
# More than one block of queries, the last of them not full.
BLOCKS = 33


def inputs(depth: int, spread: float, device: str, queries: int = 5) -> list[Tensor]:
    torch.manual_seed(0)
    tokens = sum(height * width for height, width in SHAPES)
    values = torch.randn(2, tokens, HEADS, depth)
    locations = 0.5 + spread * torch.randn(2, queries, HEADS, len(SHAPES), POINTS, 2)
    locations[0, 0], locations[0, 1] = 0.0, 1.0  # corners of the map
    weights = torch.randn(2, queries, HEADS, len(SHAPES) * POINTS).softmax(-1).unflatten(-1, (len(SHAPES), POINTS))
    return [tensor.to(device) for tensor in (values, locations, weights)]


def results(function: Callable[..., Tensor], tensors: list[Tensor]) -> list[Tensor]:
    """The output and the three gradients for a fixed gradient of the output."""
    tensors = [tensor.detach().requires_grad_() for tensor in tensors]
    output = function(tensors[0], SHAPES, *tensors[1:])
    grad = torch.linspace(-1, 1, output.numel(), device=output.device).view_as(output).to(output.dtype)
    return [output.detach(), *torch.autograd.grad(output, tensors, grad)]


def largest_error(ours: list[Tensor], expected: list[Tensor]) -> float:
    """As a share of the largest number; NaN if there is one."""
    errors = []
    for a, b in zip(ours, expected, strict=True):
        assert a.shape == b.shape
        errors.append((a.double() - b.double()).abs().max() / (1 + b.double().abs().max()))
    return torch.stack(errors).max().item()


def compare(tensors: list[Tensor]) -> float:
    """In the types of the tensors, against the plain form in float32."""
    ours = results(sample_deformable_triton, tensors)
    assert [tensor.dtype for tensor in ours] == [tensors[0].dtype, *(tensor.dtype for tensor in tensors)]
    return largest_error(ours, results(sample_deformable_reference, [tensor.float() for tensor in tensors]))


def strided(tensors: list[Tensor]) -> list[Tensor]:
    values, locations, weights = tensors
    values = values.transpose(0, 1).contiguous().transpose(0, 1)
    strided = [values, locations.mT.contiguous().mT, torch.stack((weights, weights), -1)[..., 0]]
    assert not any(tensor.is_contiguous() for tensor in strided)
    return strided


def errors_at_bad_points(values: Tensor, locations: Tensor, weights: Tensor) -> dict[str, float]:
    """Far points give 0; points that are not finite show in their own outputs and gradients only."""
    locations = locations.clone()
    locations[0, 0], locations[0, 1, :, :, :, 1] = 1e30, -1e30
    bad = torch.zeros_like(weights, dtype=torch.bool)
    for head, (query, number) in enumerate([(3, float("nan")), (4, float("-inf"))]):
        locations[1, query, head, head, 0, head] = number
        bad[1, query, head, head, 0] = True
    tensors = [values, locations, weights]
    output, grad_values, grad_locations, grad_weights = results(sample_deformable_triton, tensors)
    expected = results(sample_deformable_reference, tensors)[0]
    finite = expected.isfinite()
    assert not finite.all()
    assert torch.equal(output.isfinite(), finite)
    assert torch.equal(grad_weights.isnan(), bad)
    assert torch.equal(grad_locations.isnan(), bad[..., None].expand_as(grad_locations))
    assert grad_values.isfinite().all()
    far = torch.cat([tensor[0, :2].flatten() for tensor in (output, grad_locations, grad_weights)])
    return {
        "far points": far.abs().max().item(),
        "beside bad points": largest_error([output[finite]], [expected[finite]]),
    }


def main(device: str) -> dict[str, float]:
    values, locations, weights = inputs(16, 0.3, device)
    none = sample_deformable_triton(values, SHAPES, locations[:, :0], weights[:, :0])
    assert none.shape == (2, 0, HEADS * 16)
    return {
        "32 channels": compare(inputs(32, 0.3, device, BLOCKS)),
        "5 channels, many points outside": compare(inputs(5, 1.0, device)),
        "1 channel": compare(inputs(1, 0.3, device)),
        "not contiguous": compare(strided([values, locations, weights])),
        "bfloat16 values": compare([values.bfloat16(), locations, weights]),
        "float16": compare([values.half(), locations.half(), weights.half()]),
        **errors_at_bad_points(values, locations, weights),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
