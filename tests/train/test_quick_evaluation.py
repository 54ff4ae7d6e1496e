"""The quick evaluation's counts on cases that can be followed by eye."""

import torch

from mssts.train.quick_evaluation import count_false_positives, tube_iou


def test_tube_iou_counts_over_all_frames() -> None:
    one, other = torch.zeros(1, 2, 4, 4, dtype=torch.bool), torch.zeros(2, 2, 4, 4, dtype=torch.bool)
    one[0, :, :2] = True
    other[0, 0, :2] = True
    assert torch.equal(tube_iou(one, other), torch.tensor([[0.5, 0.0]]))


def test_second_claim_on_a_track_is_false() -> None:
    overlap = torch.tensor([[0.9, 0.0], [0.8, 0.0], [0.1, 0.6], [0.0, 0.0], [0.0, 0.0]])
    scores = torch.tensor([0.95, 0.9, 0.8, 0.7, 0.4])
    assert count_false_positives(scores, overlap) == 2


def test_claim_takes_the_better_of_two_tracks() -> None:
    overlap = torch.tensor([[0.6, 0.7], [0.6, 0.0]])
    assert count_false_positives(torch.tensor([0.9, 0.8]), overlap) == 0


def test_clip_without_tracks() -> None:
    assert count_false_positives(torch.tensor([0.9, 0.2]), torch.zeros(2, 0)) == 1
