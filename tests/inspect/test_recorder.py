"""What the recorder reads from a model equals what its weights say, worked out step by step."""

import copy
import math
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1] / "model"))
from small_models import random_frames, small_config, small_model

from mssts.errors import UsageError
from mssts.inspect.recorder import Recorder, WindowRecord, switch_off_ms_sts
from mssts.model.deformable import sample_deformable_reference
from mssts.model.position import time_position
from mssts.model.vis import VisModel

NUM_FRAMES = 4


def recorded(model: VisModel, frames: torch.Tensor) -> WindowRecord:
    with torch.no_grad(), Recorder(model.eval()) as recorder:
        model(frames)
        return recorder.take()


@pytest.fixture(scope="module")
def model() -> VisModel:
    return small_model().eval()


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return random_frames(1, NUM_FRAMES, 64, 96)


def inputs_of_last_layer(model: VisModel, frames: torch.Tensor) -> tuple:
    """The last decoder layer's arguments, from the layers before it called one by one."""
    decoder = model.decoder
    memory = model.encode(frames)
    instances = decoder.query_content.expand(1, -1, -1)
    boxes = instances[:, None]
    reference = decoder.first_reference(decoder.query_position).sigmoid().expand(1, NUM_FRAMES, -1, -1)
    for layer, head in zip(decoder.layers[:-1], decoder.box_heads, strict=False):
        instances, boxes = layer(instances, boxes, decoder.query_position, reference, memory)
        moved = torch.logit(reference, eps=1e-5)
        if moved.shape[-1] == 2:
            moved = F.pad(moved, (0, 2))
        reference = (head(boxes) + moved).sigmoid()
    return instances, boxes, reference, memory


@torch.no_grad()
def test_points_and_weights_are_those_that_the_last_layer_samples(model, frames):
    """Query by query in plain loops; and a sum over the recorded samples gives the layer's own output."""
    record = recorded(model, frames)
    layer = model.decoder.layers[-1]
    _, boxes, reference, memory = inputs_of_last_layer(model, frames)
    boxes = layer.box_attention(boxes[0], model.decoder.query_position)[None]
    query = (layer.temporal_attention(boxes) + model.decoder.query_position)[0]
    sampling = layer.sampling
    heads, levels, points = sampling.num_heads, sampling.num_levels, sampling.num_points
    offsets = sampling.sampling_offsets(query).reshape(NUM_FRAMES, -1, heads * levels * points, 2)
    logits = sampling.attention_weights(query).reshape(NUM_FRAMES, -1, heads, levels * points)
    for frame in range(NUM_FRAMES):
        for number in range(query.shape[1]):
            x, y, width, height = reference[0, frame, number].tolist()
            for place in range(heads * levels * points):
                dx, dy = offsets[frame, number, place].tolist()
                expected = [x + dx / points * width / 2, y + dy / points * height / 2]
                assert record.points[number, frame, place].tolist() == pytest.approx(expected, abs=1e-4)
            weights = logits[frame, number].exp() / logits[frame, number].exp().sum(1, keepdim=True) / heads
            torch.testing.assert_close(record.point_weights[number, frame], weights.flatten(), atol=1e-5, rtol=1e-4)
    values = sampling.value_proj(memory.tokens[0], None)
    split = (NUM_FRAMES, -1, heads, levels, points)
    sampled = sample_deformable_reference(
        values,
        memory.spatial_shapes,
        record.points.transpose(0, 1).reshape(*split, 2),
        heads * record.point_weights.transpose(0, 1).reshape(*split),
    )
    grid = reference[0][:, :, None].expand(-1, -1, levels, -1)
    own = sampling(query, grid, values, memory.spatial_shapes)
    torch.testing.assert_close(sampled, own, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_frame_weights_rebuild_the_instance_embedding(model, frames):
    """The embedding is the weighted sum of the frames' samples, projected; what is left of the layer is its tail."""
    record = recorded(model, frames)
    instances, boxes, reference, memory = inputs_of_last_layer(model, frames)
    layer, position = model.decoder.layers[-1], model.decoder.query_position
    boxes = layer.temporal_attention(layer.box_attention(boxes[0], position)[None])
    grid = reference[0][:, :, None].expand(-1, -1, layer.sampling.num_levels, -1)
    values = layer.sampling.value_proj(memory.tokens[0], None)
    sampled = layer.sampling((boxes + position)[0], grid, values, memory.spatial_shapes)
    gathered = torch.zeros(sampled.shape[1:])
    for number in range(sampled.shape[1]):
        for frame in range(NUM_FRAMES):
            gathered[number] += record.frame_weights[number, frame] * layer.instance_proj(sampled[frame, number])
    attended = layer.instance_attention(instances, position)[0]
    embedding = layer.instance_feed_forward(layer.instance_norm(attended + gathered))
    torch.testing.assert_close(embedding, model(frames).embeddings[-1][0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(record.frame_weights.sum(1), torch.ones(sampled.shape[1]))


@torch.no_grad()
def test_frame_attention_equals_scores_by_hand(model, frames):
    record = recorded(model, frames)
    _, boxes, _, _ = inputs_of_last_layer(model, frames)
    layer = model.decoder.layers[-1]
    block = layer.temporal_attention
    tracks = block.norm(layer.box_attention(boxes[0], model.decoder.query_position)).transpose(0, 1)
    tracks = tracks + time_position(NUM_FRAMES, tracks.shape[-1], tracks.device)
    weight, bias = block.attention.in_proj_weight, block.attention.in_proj_bias
    dim, heads = tracks.shape[-1], block.attention.num_heads
    query = F.linear(tracks, weight[:dim], bias[:dim])
    key = F.linear(tracks, weight[dim : 2 * dim], bias[dim : 2 * dim])
    expected = torch.zeros(len(tracks), NUM_FRAMES, NUM_FRAMES)
    for head in range(heads):
        part = slice(head * dim // heads, (head + 1) * dim // heads)
        scores = query[..., part] @ key[..., part].transpose(1, 2) / math.sqrt(dim // heads)
        expected += scores.softmax(-1) / heads
    assert record.frame_attention is not None
    torch.testing.assert_close(record.frame_attention, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_recording_leaves_the_results_and_no_hooks(model, frames):
    plain = model(frames)
    with Recorder(model) as recorder:
        seen = model(frames)
        model(frames.flip(1))
        first, second = recorder.take(), recorder.take()
    for one, other in zip(plain[:-1], seen[:-1], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(first.memory, model.encode(frames).maps()[0][0])
    assert not torch.allclose(first.memory, second.memory)
    model(frames)
    with pytest.raises(IndexError):
        recorder.take()
    assert not any(module._forward_hooks for module in model.modules())


def test_a_baseline_has_no_frame_attention(frames):
    record = recorded(small_model(small_config("baseline-")), frames)
    assert record.frame_attention is None
    assert record.points.shape[1] == NUM_FRAMES


@torch.no_grad()
def test_switched_off_equals_a_fusion_that_ignores_ms_sts(model, frames):
    ignoring, silent = copy.deepcopy(model), copy.deepcopy(model)
    for layer in ignoring.encoder.layers:
        layer.fusion.convolution.weight[:, layer.fusion.convolution.out_features :] = 0
    switch_off_ms_sts(silent)
    expected = ignoring.encode(frames).tokens
    torch.testing.assert_close(silent.encode(frames).tokens, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(expected, model.encode(frames).tokens, atol=1e-2)


def test_nothing_to_switch_off_is_told():
    with pytest.raises(UsageError, match="no MS-STS"):
        switch_off_ms_sts(small_model(small_config("t-dec-")))
