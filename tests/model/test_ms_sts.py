"""MS-STS attention against the paper's equations written as loops."""

import itertools
from dataclasses import replace

import naive_ms_sts as naive
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_weights import random_tokens, randomise
from torch import Tensor
from torch.func import functional_call

from mssts.config import MsStsConfig, preset
from mssts.model.ms_sts import InterScaleTemporalAttention, IntraScaleTemporalAttention, MsStsAttention, average_squares
from mssts.model.vis import VisModel

DIM = 8
PYRAMID = ((5, 7), (3, 4), (2, 2))
NUM_POSITIONS = sum(height * width for height, width in PYRAMID)


def pad_right_and_bottom(shapes: tuple[tuple[int, int], ...], rows: int, columns: int) -> Tensor:
    """The flat mask of a clip that lacks some rows and columns at each level."""
    masks = [torch.zeros(shape, dtype=torch.bool) for shape in shapes]
    for mask in masks:
        mask[max(mask.shape[0] - rows, 1) :] = True
        mask[:, max(mask.shape[1] - columns, 1) :] = True
    return torch.cat([mask.flatten() for mask in masks])


def places_of(position: Tensor | None, clip: int, like: Tensor) -> np.ndarray:
    if position is None:
        return np.zeros(like.shape[1:])
    return position[clip if position.shape[0] > 1 else 0].numpy()


@pytest.mark.parametrize("num_frames", [1, 3, 5])
@pytest.mark.parametrize("num_heads", [1, 8])
@pytest.mark.parametrize("located", [False, True])
def test_intra_scale_equals_equations_1_and_2(num_frames: int, num_heads: int, located: bool) -> None:
    block = randomise(IntraScaleTemporalAttention(DIM, num_heads, 2.0, 0.1)).double()
    z = random_tokens(2, num_frames, 6, DIM)
    position = random_tokens(1, num_frames, 6, DIM, seed=2) if located else None
    mask = torch.tensor([[False] * 6, [False, False, True, False, True, True]])
    ours = block(z, position, mask).numpy()
    for clip in range(2):
        expected = naive.intra_scale(block, z[clip].numpy(), places_of(position, clip, z), mask[clip].numpy())
        np.testing.assert_allclose(ours[clip], expected, atol=1e-10)


@pytest.mark.parametrize("num_heads", [1, 8])
@pytest.mark.parametrize(
    ("fine_shape", "coarse_shape", "num_frames"), [((5, 7), (3, 4), 1), ((3, 5), (2, 3), 3), ((45, 2), (23, 1), 1)]
)
def test_inter_scale_equals_equations_3_to_5(
    num_heads: int, fine_shape: tuple[int, int], coarse_shape: tuple[int, int], num_frames: int
) -> None:
    block = randomise(InterScaleTemporalAttention(DIM, num_heads, 1.5, 0.1)).double()
    fine = random_tokens(2, num_frames, fine_shape[0] * fine_shape[1], DIM)
    coarse = random_tokens(2, num_frames, coarse_shape[0] * coarse_shape[1], DIM, seed=2)
    position = random_tokens(*fine.shape, seed=3)
    mask = torch.stack((pad_right_and_bottom((fine_shape,), 0, 0), pad_right_and_bottom((fine_shape,), 2, 1)))
    ours = block(fine, coarse, fine_shape, coarse_shape, position, mask).numpy()
    shapes = (fine_shape, coarse_shape)
    for clip in range(2):
        expected = naive.inter_scale(
            block, fine[clip].numpy(), coarse[clip].numpy(), shapes, position[clip].numpy(), mask[clip].numpy()
        )
        np.testing.assert_allclose(ours[clip], expected, atol=1e-10)


@pytest.mark.parametrize("joint_levels", [None, (), (0,), (1,)])
@pytest.mark.parametrize("padded", [False, True])
def test_split_attention_joins_the_configured_levels(joint_levels: tuple[int, ...] | None, padded: bool) -> None:
    config = MsStsConfig(num_heads=2, mlp_ratio=1.0, joint_levels=joint_levels)
    module = randomise(MsStsAttention(DIM, len(PYRAMID), 0.1, config)).double()
    tokens = random_tokens(1, 2, NUM_POSITIONS, DIM)
    position = random_tokens(1, 2, NUM_POSITIONS, DIM, seed=2)
    mask = pad_right_and_bottom(PYRAMID, 1, 1)[None] if padded else torch.zeros(1, NUM_POSITIONS, dtype=torch.bool)
    ours = module(tokens, PYRAMID, position, mask if padded else None)
    levels = (0, 1) if joint_levels is None else joint_levels
    expected = naive.ms_sts(module, tokens[0].numpy(), PYRAMID, position[0].numpy(), mask[0].numpy(), levels)
    np.testing.assert_allclose(ours[0].numpy(), expected, atol=1e-10)


def test_dropout_is_off_in_inference_and_on_in_training() -> None:
    module = MsStsAttention(DIM, len(PYRAMID), 0.5, MsStsConfig(num_heads=2))
    tokens = random_tokens(1, 2, NUM_POSITIONS, DIM).float()
    module.eval()
    assert torch.equal(module(tokens, PYRAMID, None, None), module(tokens, PYRAMID, None, None))
    module.train()
    assert not torch.equal(module(tokens, PYRAMID, None, None), module(tokens, PYRAMID, None, None))


@pytest.mark.parametrize("side", [2, 3, 9])
@pytest.mark.parametrize("padded", [False, True])
def test_averages_over_squares_are_what_loops_give(side: int, padded: bool) -> None:
    height, width, num_frames = 5, 7, 2
    tokens = random_tokens(2, num_frames, height * width, DIM).flatten(1, 2)
    position = random_tokens(1, num_frames, height * width, DIM, seed=2).flatten(1, 2)
    mask = pad_right_and_bottom(((height, width),), 2, 3).repeat(2, num_frames) if padded else None
    ours = average_squares(tokens, position, mask, (num_frames, height, width), side)
    assert (ours.padding_mask is None) == (not padded)
    cell = 0
    for frame, top, left in itertools.product(range(num_frames), range(0, height, side), range(0, width, side)):
        square = itertools.product(range(top, min(top + side, height)), range(left, min(left + side, width)))
        places = [frame * height * width + row * width + column for row, column in square]
        kept = [place for place in places if mask is None or not mask[0, place]]
        if ours.padding_mask is not None:
            assert ours.padding_mask[:, cell].tolist() == [not kept] * 2
        if kept:
            torch.testing.assert_close(ours.tokens[:, cell], tokens[:, kept].mean(dim=1))
            assert ours.position is not None
            torch.testing.assert_close(ours.position[0, cell], position[0, kept].mean(dim=0))
        cell += 1
    assert ours.tokens.shape[1] == cell


def test_pooled_keys_are_exact_where_squares_are_uniform_and_padding_changes_nothing() -> None:
    """Tokens and positions that are alike in each square: an average says as much as the four it is made of."""
    exact = randomise(InterScaleTemporalAttention(DIM, 2, 1.5, 0.1)).double()
    pooled = InterScaleTemporalAttention(DIM, 2, 1.5, 0.1, key_pooling=2).double().eval()
    pooled.load_state_dict(exact.state_dict())
    coarse = random_tokens(1, 2, 6, DIM).unflatten(2, (2, 3))
    fine, position = (
        random_tokens(1, 2, 6, DIM, seed=seed).unflatten(2, (2, 3)).repeat_interleave(2, 2).repeat_interleave(2, 3)
        for seed in (3, 4)
    )
    coarse[:] = coarse[:, :, :1, :1]  # upsampling keeps it uniform

    def run(block: InterScaleTemporalAttention, rows: int, columns: int) -> Tensor:
        """The same clip, padded with rubbish to a larger map."""
        sizes, shape = (0, 0, 0, columns, 0, rows), (4 + rows, 6 + columns)
        padded = [F.pad(x, sizes, value=7.0).flatten(2, 3) for x in (fine, position)]
        mask = torch.ones(shape, dtype=torch.bool)
        mask[:4, :6] = False
        small = coarse.flatten(2, 3)
        out = block(padded[0], small, shape, (2, 3), padded[1], mask.flatten()[None])
        return out.unflatten(2, shape)[:, :, :4, :6]

    torch.testing.assert_close(run(pooled, 0, 0), run(exact, 0, 0))
    torch.testing.assert_close(run(pooled, 3, 1), run(pooled, 0, 0))


@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize("padded", [False, True])
def test_ms_sts_gradients(padded: bool, side: int) -> None:
    """Of the tokens and of every weight, against differences; padded tokens get none."""
    shapes = ((3, 2), (2, 1))
    module = randomise(MsStsAttention(4, 2, 0.0, MsStsConfig(num_heads=2, mlp_ratio=1.0, key_pooling=side))).double()
    names, weights = zip(*((name, value.detach()) for name, value in module.named_parameters()), strict=True)
    tokens, position = random_tokens(1, 2, 8, 4), random_tokens(1, 2, 8, 4, seed=2)
    mask = pad_right_and_bottom(shapes, 1, 0)[None] if padded else None

    def run(tokens: Tensor, *weights: Tensor) -> Tensor:
        return functional_call(module, dict(zip(names, weights, strict=True)), (tokens, shapes, position, mask))

    inputs = [value.clone().requires_grad_() for value in (tokens, *weights)]
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    (gradient,) = torch.autograd.grad(run(*inputs).square().sum(), inputs[:1])
    assert torch.isfinite(gradient).all()
    if mask is not None:
        assert gradient[:, :, mask[0]].abs().max() == 0
        assert gradient[:, :, ~mask[0]].abs().min() > 0


def sine(coordinate: float, dim: int) -> list[float]:
    angles = [coordinate / 10000 ** (2 * (i // 2) / dim) for i in range(dim)]
    return [np.cos(angle) if i % 2 else np.sin(angle) for i, angle in enumerate(angles)]


@pytest.mark.parametrize("position", ["sine", "none"])
def test_ms_sts_attention_of_the_model_knows_place_and_time(position: str) -> None:
    config = preset("tiny")
    ms_sts = replace(config.ms_sts, position=position, num_heads=2)
    config = replace(config, hidden_dim=32, num_heads=2, num_encoder_layers=1, num_decoder_layers=1, ms_sts=ms_sts)
    model = VisModel(config).eval()
    seen: list[Tensor | None] = []
    model.encoder.layers[0].get_submodule("ms_sts").register_forward_pre_hook(lambda _, args: seen.append(args[2]))
    model.encode(torch.zeros(1, 3, 3, 64, 96))
    if position == "none":
        assert seen == [None]
        return
    assert seen[0] is not None
    rows, columns = 8, 12
    for t, y, x in ((0, 0, 0), (2, 3, 5), (1, 7, 11)):
        place = sine((y + 0.5) / rows * 2 * np.pi, 16) + sine((x + 0.5) / columns * 2 * np.pi, 16)
        expected = np.array(place) + sine(float(t), 32)
        np.testing.assert_allclose(seen[0][0, t, y * columns + x].numpy(), expected, atol=1e-5)
