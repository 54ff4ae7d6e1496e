"""Start a training from another model's weights: pretraining and fine-tuning, new categories, new parts.

A reader of the loop may skip this file.
"""

import torch
from torch import Tensor

from mssts.data.category_maps import slots_of
from mssts.model.vis import VisModel


def copy_weights(source: VisModel, target: VisModel) -> str:
    """Copy every tensor that has a counterpart of the same shape; class heads are copied category by category.

    A part that the source lacks keeps its own start: MS-STS attention and temporal attention start as the identity.

    Returns:
        A line that says what was copied and what was not.
    """
    theirs, ours = source.state_dict(), target.state_dict()
    by_class = {name for name in ours if "class_heads" in name and name in theirs}
    copied = {name for name, tensor in ours.items() if name in theirs and theirs[name].shape == tensor.shape} - by_class
    shared = _shared_slots(source, target)
    with torch.no_grad():
        for name in copied:
            ours[name].copy_(theirs[name])
        for name in by_class:
            _copy_rows(theirs[name], ours[name], shared)
    started = sorted({name.split(".")[0] for name in ours.keys() - copied - by_class})
    news = f"; newly started tensors in: {', '.join(started)}" if started else ""
    count = len(target.config.categories)
    others = ", the others start anew" if len(shared) < count else ""
    classes = f"class heads: {len(shared)} of {count} categories are known to it{others}"
    return f"init: {len(copied)} of {len(ours) - len(by_class)} tensors copied{news}; {classes}"


def _shared_slots(source: VisModel, target: VisModel) -> list[tuple[int, int]]:
    """Their class slot and ours of every category that both models have, by the maps that data sets are read with.

    Where several of theirs are taken for one of ours (bicycles as motorbikes), one of the same name goes first.
    """
    theirs = source.config.categories
    ours = {category.slot: category.name for category in target.config.categories}
    counterparts = slots_of([(category.id, category.name) for category in theirs], target.config.categories)
    pairs = [(category, counterparts[category.id]) for category in theirs if category.id in counterparts]
    pairs.sort(key=lambda pair: pair[0].name == ours[pair[1]])
    return sorted((category.slot, slot) for slot, category in {slot: category for category, slot in pairs}.items())


def _copy_rows(theirs: Tensor, ours: Tensor, shared: list[tuple[int, int]]) -> None:
    """Copy the rows of shared categories of a class head's weight or bias, in place."""
    for their_slot, our_slot in shared:
        ours[our_slot].copy_(theirs[their_slot])
