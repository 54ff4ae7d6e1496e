"""Box refinement, per-frame reference points and the first state of the decoder."""

import math
from dataclasses import replace

import pytest
import torch
from random_weights import random_tokens, randomise

from mssts.config import ModelConfig, preset
from mssts.model.decoder import Decoder, inverse_sigmoid, refine
from mssts.model.pyramid import Pyramid

DIM = 16
CONFIG: ModelConfig = replace(
    preset("baseline-tiny"), hidden_dim=DIM, num_heads=2, num_levels=2, feedforward_dim=16, num_queries=5
)


def random_memory(num_clips: int, num_frames: int) -> Pyramid:
    tokens = random_tokens(num_clips, num_frames, 26, DIM).float()
    return Pyramid(tokens, ((4, 5), (2, 3)), None, torch.ones(num_clips, 2, 2))


@pytest.mark.parametrize("coordinates", [2, 4])
def test_refine_adds_in_inverse_sigmoid_space(coordinates: int) -> None:
    delta = random_tokens(2, 3, 4, 4)
    reference = torch.rand(2, 3, 4, coordinates, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    refined = refine(delta, reference)
    for index in torch.cartesian_prod(torch.arange(2), torch.arange(3), torch.arange(4)).tolist():
        for axis in range(4):
            start = 0.0
            if axis < coordinates:
                probability = float(reference[*index, axis])
                start = math.log(probability / (1 - probability))
            expected = 1 / (1 + math.exp(-float(delta[*index, axis]) - start))
            assert float(refined[*index, axis]) == pytest.approx(expected, abs=1e-9)


def test_inverse_sigmoid_stays_finite() -> None:
    extremes = inverse_sigmoid(torch.tensor([-0.5, 0.0, 0.5, 1.0, 1.5]))
    bound = math.log(1e5)
    assert extremes.tolist() == pytest.approx([-bound, -bound, 0, bound, bound], abs=1e-4)


def test_layers_start_from_the_boxes_of_the_layer_before() -> None:
    output = randomise(Decoder(CONFIG))(random_memory(2, 3))
    assert torch.equal(output.reference_points[1:], output.boxes_cxcywh[:-1, ..., :2])
    first = output.reference_points[0]
    assert torch.equal(first, first[:1, :1].expand_as(first))
    assert ((output.boxes_cxcywh > 0) & (output.boxes_cxcywh < 1)).all()


def test_decoder_starts_with_rare_foreground_and_boxes_at_the_references() -> None:
    decoder = Decoder(CONFIG).eval()
    with torch.no_grad():
        output = decoder(random_memory(1, 2))
    assert torch.allclose(
        output.boxes_cxcywh[..., :2], output.reference_points[:1].expand(3, -1, -1, -1, -1), atol=1e-5
    )
    assert torch.allclose(output.boxes_cxcywh[..., 2:], torch.tensor(-2.0).sigmoid(), atol=1e-5)
    for head in decoder.class_heads:
        assert torch.allclose(head.get_parameter("bias").sigmoid(), torch.tensor(0.01))


def test_box_gradients_stop_at_the_reference_of_each_layer() -> None:
    """The last layer's boxes reach the box head of their own layer only."""
    decoder = randomise(Decoder(CONFIG)).requires_grad_()
    decoder(random_memory(1, 2)).boxes_cxcywh[-1].sum().backward()
    gradients = [head.get_parameter("layers.2.weight").grad for head in decoder.box_heads]
    reached = [gradient is not None and bool(gradient.abs().max() > 0) for gradient in gradients]
    assert reached == [False, False, True]


def test_instance_queries_gather_frames_by_their_softmax_weights() -> None:
    """Frames in another order give the same instances, and their boxes in that order."""
    decoder, memory = randomise(Decoder(CONFIG)), random_memory(1, 4)
    order = torch.tensor([2, 0, 3, 1])
    straight, shuffled = decoder(memory), decoder(memory._replace(tokens=memory.tokens[:, order]))
    assert torch.allclose(straight.class_logits, shuffled.class_logits, atol=1e-5)
    assert torch.allclose(straight.boxes_cxcywh[:, :, order], shuffled.boxes_cxcywh, atol=1e-5)
    assert not torch.allclose(straight.boxes_cxcywh, shuffled.boxes_cxcywh, atol=1e-3)
