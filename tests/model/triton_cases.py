"""Compare the Triton form with the plain one; prints a JSON object of errors by case.

`TRITON_INTERPRET=1 python triton_cases.py cpu` runs the kernels on a CPU, slowly. The variable must be set before
Triton is imported, so this is a program of its own.
"""

import json
import sys

import torch
from torch import Tensor

from mssts.model.deformable import sample_deformable_reference
from mssts.model.deformable_triton import sample_deformable_triton

SHAPES = ((5, 7), (3, 4), (1, 1))
QUERIES, HEADS, POINTS = 37, 3, 2


def inputs(depth: int, spread: float, device: str) -> list[Tensor]:
    torch.manual_seed(0)
    tokens = sum(height * width for height, width in SHAPES)
    values = torch.randn(2, tokens, HEADS, depth)
    locations = 0.5 + spread * torch.randn(2, QUERIES, HEADS, len(SHAPES), POINTS, 2)
    weights = torch.randn(2, QUERIES, HEADS, len(SHAPES) * POINTS).softmax(-1).unflatten(-1, (len(SHAPES), POINTS))
    return [tensor.to(device) for tensor in (values, locations, weights)]


def results(function, tensors: list[Tensor]) -> list[Tensor]:
    """The output and the three gradients for a fixed gradient of the output."""
    tensors = [tensor.detach().requires_grad_() for tensor in tensors]
    output = function(tensors[0], SHAPES, *tensors[1:])
    grad = torch.linspace(-1, 1, output.numel(), device=output.device).view_as(output).to(output.dtype)
    return [output.detach(), *torch.autograd.grad(output, tensors, grad)]


def largest_error(ours: list[Tensor], expected: list[Tensor]) -> float:
    return max(
        ((a.double() - b.double()).abs().max() / (1 + b.double().abs().max())).item()
        for a, b in zip(ours, expected, strict=True)
    )


def compare(tensors: list[Tensor]) -> float:
    return largest_error(results(sample_deformable_triton, tensors), results(sample_deformable_reference, tensors))


def main(device: str) -> dict[str, float]:
    errors = {
        "32 channels": compare(inputs(32, 0.3, device)),
        "5 channels, many points outside": compare(inputs(5, 1.0, device)),
    }
    values, locations, weights = inputs(16, 0.3, device)
    strided = [values.transpose(0, 1).contiguous().transpose(0, 1), locations.flip(-1).contiguous().flip(-1), weights]
    strided[2] = torch.stack((weights, weights), -1)[..., 0]
    errors["not contiguous"] = compare(strided)
    half = [values.bfloat16(), locations, weights]
    rounded = [values.bfloat16().float(), locations, weights]
    errors["bfloat16 values"] = largest_error(
        results(sample_deformable_triton, half), results(sample_deformable_reference, rounded)
    )
    ours = results(sample_deformable_triton, half)
    assert [tensor.dtype for tensor in ours] == [torch.bfloat16, torch.bfloat16, torch.float32, torch.float32]

    far = locations.clone()
    far[0, 0] = 1e30
    far[0, 1, :, :, :, 1] = -1e30
    ours = results(sample_deformable_triton, [values, far, weights])
    errors["far points"] = max(ours[0][0, :2].abs().max().item(), ours[2][0, :2].abs().max().item())
    broken = locations.clone()
    broken[1, 3, 2, 0, 0, 0] = float("nan")
    output = results(sample_deformable_triton, [values, broken, weights])[0].unflatten(-1, (HEADS, -1))
    errors["NaN shows"] = 1.0 - output[1, 3, 2].isnan().float().mean().item()
    errors["NaN elsewhere"] = output.isnan().sum().item() - float(output.shape[-1])
    none = sample_deformable_triton(values, SHAPES, locations[:, :0], weights[:, :0])
    errors["no queries"] = abs(none.numel())
    return errors


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
