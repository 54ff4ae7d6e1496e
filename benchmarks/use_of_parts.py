"""How much a trained model uses the paper's parts: `python benchmarks/use_of_parts.py MODEL SET`.

Prints how large the weights are that bring each part's output in, beside those of what was there before, and AP on the
set's split `valid` with the model as it is, without MS-STS attention and without temporal attention.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from mssts.checkpoint import load_model
from mssts.data.video_set import load_video_set
from mssts.evaluate.run_model import evaluate_model
from mssts.evaluate.video_ap import evaluate_video_ap
from mssts.inspect.recorder import switch_off_ms_sts
from mssts.locate import find_checkpoint
from mssts.model.vis import VisModel


def norm(weight: Tensor) -> float:
    """Root of the sum of squares."""
    return weight.detach().norm().item()


def print_norms(model: VisModel) -> None:
    """One line per layer that has a part of the paper's."""
    for number, layer in enumerate(model.encoder.layers):
        if model.config.ms_sts.enabled:
            base, enriched = layer.get_parameter("fusion.convolution.weight").chunk(2, dim=1)
            print(f"encoder layer {number}, fusion: base {norm(base):.2f}, enriched {norm(enriched):.2f}")
    for number, layer in enumerate(model.decoder.layers):
        if model.config.temporal_decoder.enabled:
            boxes, frames = (
                norm(layer.get_parameter(f"{name}.attention.out_proj.weight"))
                for name in ("box_attention", "temporal_attention")
            )
            print(f"decoder layer {number}, output of attention: among queries {boxes:.2f}, over time {frames:.2f}")


def switch_off_temporal_attention(model: VisModel) -> None:
    """Let each temporal attention give its input."""
    for layer in model.decoder.layers:
        layer.get_submodule("temporal_attention").register_forward_hook(_input)


def _input(_module: nn.Module, arguments: tuple[Tensor], _output: Tensor) -> Tensor:
    return arguments[0]


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description="How much a trained model uses the paper's parts.")
    parser.add_argument("model")
    parser.add_argument("set", type=Path, help="folder of a data set with a split `valid`")
    options = parser.parse_args()
    path, truth = find_checkpoint(options.model), load_video_set(options.set, "valid")
    model = load_model(path)
    print_norms(model)
    changes: dict[str, Callable[[VisModel], object]] = {"as it is": lambda _: None}
    if model.config.ms_sts.enabled:
        changes["without MS-STS attention"] = switch_off_ms_sts
    if model.config.temporal_decoder.enabled:
        changes["without temporal attention"] = switch_off_temporal_attention
    for name, change in changes.items():
        model = load_model(path)
        change(model)
        results = evaluate_model(model, truth, device=torch.device("cpu"), progress=False)
        print(f"{name}: AP {100 * evaluate_video_ap(truth, results).numbers['AP']:.1f}", flush=True)


if __name__ == "__main__":
    main()
