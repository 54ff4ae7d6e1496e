"""Flattens overlapping instance masks to one map, so that a picture is coloured by one lookup and not per instance."""

import numpy as np
from jaxtyping import Bool, Float, Int, Integer


def painting_order(scores: Float[np.ndarray, " K"]) -> Int[np.ndarray, " K"]:
    """Instance indices from the bottom to the top of the picture: a higher score covers a lower one.

    Of equal scores the instance that comes first is on top.
    """
    return np.argsort(-scores, kind="stable")[::-1]


def rank_map(masks: Bool[np.ndarray, "K H W"], order: Int[np.ndarray, " K"]) -> Integer[np.ndarray, "H W"]:
    """Per pixel the 1-based place in `order` of the topmost instance, 0 where there is none."""
    dtype = np.uint8 if len(order) < 256 else np.uint16
    ranks = np.zeros(masks.shape[1:], dtype)
    for rank, instance_index in enumerate(order, start=1):
        np.copyto(ranks, dtype(rank), where=masks[instance_index])
    return ranks
