"""Temporal attention over box queries (section 3.3) against loops, and its place in a decoder layer."""

from dataclasses import replace
from typing import Literal

import naive_ms_sts as naive
import numpy as np
import pytest
import torch
from random_weights import random_tokens, randomise
from torch import Tensor

from mssts.config import ModelConfig, MsStsConfig, TemporalDecoderConfig, preset
from mssts.model.decoder import Decoder, DecoderLayer, TemporalQueryAttention
from mssts.model.pyramid import Pyramid

DIM = 8


def tiny_config(num_heads: int = 2, position: Literal["sine", "none"] = "sine", enabled: bool = True) -> ModelConfig:
    temporal = TemporalDecoderConfig(enabled, num_heads, position)
    return replace(
        preset("tiny"),
        hidden_dim=DIM,
        num_heads=2,
        num_levels=2,
        feedforward_dim=16,
        num_decoder_layers=2,
        num_queries=3,
        ms_sts=MsStsConfig(enabled=False, num_heads=2),
        temporal_decoder=temporal,
    )


def temporal_attention(num_heads: int = 2, position: Literal["sine", "none"] = "sine") -> TemporalQueryAttention:
    config = tiny_config(num_heads, position)
    return randomise(TemporalQueryAttention(config, config.temporal_decoder)).double()


def naive_temporal(block: TemporalQueryAttention, boxes: np.ndarray, located: bool) -> np.ndarray:
    """One instance: box queries [T, C] in, box queries [T, C] out."""
    num_frames, dim = boxes.shape
    weights = np.split(naive.as_array(block.attention.in_proj_weight), 3)
    biases = np.split(naive.as_array(block.attention.in_proj_bias), 3)
    normed = [naive.layer_norm(block.norm, box) for box in boxes]
    angles = [[t / 10000 ** (2 * (i // 2) / dim) for i in range(dim)] for t in range(num_frames)]
    time = [np.array([np.cos(a) if i % 2 else np.sin(a) for i, a in enumerate(row)]) for row in angles]
    sources = [n + moment for n, moment in zip(normed, time, strict=True)] if located else normed
    queries, keys = ([weights[k] @ x + biases[k] for x in sources] for k in (0, 1))
    values = [weights[2] @ x + biases[2] for x in normed]
    attended = [naive.attend(query, keys, values, block.attention.num_heads) for query in queries]
    return np.array([box + naive.linear(block.attention.out_proj, y) for box, y in zip(boxes, attended, strict=True)])


@pytest.mark.parametrize("num_frames", [1, 3, 5])
@pytest.mark.parametrize("num_heads", [1, 8])
@pytest.mark.parametrize("position", ["sine", "none"])
def test_temporal_attention_equals_loops(num_frames: int, num_heads: int, position: Literal["sine", "none"]) -> None:
    block = temporal_attention(num_heads, position)
    boxes = random_tokens(2, num_frames, 3, DIM)
    ours = block(boxes).numpy()
    for clip in range(2):
        for query in range(3):
            expected = naive_temporal(block, boxes[clip, :, query].numpy(), position == "sine")
            np.testing.assert_allclose(ours[clip, :, query], expected, atol=1e-5 if position == "sine" else 1e-10)


def test_temporal_attention_starts_as_the_identity() -> None:
    config = tiny_config()
    boxes = random_tokens(1, 4, 3, DIM).float()
    assert torch.equal(TemporalQueryAttention(config, config.temporal_decoder).eval()(boxes), boxes)


def test_temporal_attention_keeps_instances_apart() -> None:
    block, boxes = temporal_attention(), random_tokens(1, 3, 3, DIM)
    changed = boxes.clone()
    changed[:, 1, 2, 0] += 1  # one feature: LayerNorm takes out what all of them share
    difference = (block(boxes) - block(changed)).abs().amax(dim=(0, 3))
    assert difference[:, :2].max() == 0
    assert difference[:, 2].min() > 1e-4


def test_temporal_attention_gradients() -> None:
    block = temporal_attention().requires_grad_()
    boxes = random_tokens(1, 3, 2, DIM).requires_grad_()
    assert torch.autograd.gradcheck(block, [boxes])
    weights = list(block.parameters())
    gradients = torch.autograd.grad(block(boxes).square().sum(), weights)
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_block_stands_between_self_and_cross_attention() -> None:
    """The layer hands it what the box self-attention made, expanded to T, and samples with what it returns."""
    layer = randomise(DecoderLayer(tiny_config()))
    seen: dict[str, Tensor] = {}
    assert layer.temporal_attention is not None
    layer.box_attention.register_forward_hook(lambda *call: seen.update(self_attended=call[2]))
    layer.temporal_attention.register_forward_hook(lambda *call: seen.update(before=call[1][0], after=call[2]))
    layer.sampling.register_forward_pre_hook(lambda _, args: seen.update(query=args[0]))
    memory, position = _memory(num_frames=4), random_tokens(3, DIM, seed=5).float()
    instances = random_tokens(1, 3, DIM, seed=6).float()
    layer(instances, instances[:, None], position, torch.full((1, 4, 3, 2), 0.5), memory)
    assert torch.equal(seen["before"], seen["self_attended"][None].expand(1, 4, 3, DIM))
    assert torch.equal(seen["query"], (seen["after"] + position)[0])


def test_frames_exchange_information_only_through_the_block() -> None:
    """Changing frame 0's memory moves the last layer's boxes of the other frames if and only if the block is on."""
    for enabled in (False, True):
        decoder = randomise(Decoder(tiny_config(enabled=enabled)))
        memory = _memory(num_frames=3)
        tokens = memory.tokens.clone()
        tokens[:, 0] += 1
        before, after = decoder(memory), decoder(memory._replace(tokens=tokens))
        moved = (before.boxes_cxcywh[-1] - after.boxes_cxcywh[-1]).abs().amax(dim=(0, 2, 3))
        assert moved[0] > 1e-4
        assert bool((moved[1:] > 1e-6).all()) is enabled


def _memory(num_frames: int) -> Pyramid:
    shapes = ((4, 5), (2, 3))
    return Pyramid(random_tokens(1, num_frames, 26, DIM, seed=7).float(), shapes, None, torch.ones(1, 2, 2))
