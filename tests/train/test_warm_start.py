"""Weights of another model: what fits is copied, classes by name, new parts keep their start."""

from dataclasses import replace

import torch
from training import SMALL_MODEL

from mssts.config import Category, MsStsConfig, TemporalDecoderConfig
from mssts.data.categories import NAMED_LISTS, official_categories
from mssts.model.vis import VisModel
from mssts.train.warm_start import copy_weights


def test_full_model_starts_with_the_baselines_numbers() -> None:
    torch.manual_seed(0)
    off = {"ms_sts": MsStsConfig(enabled=False), "temporal_decoder": TemporalDecoderConfig(enabled=False)}
    baseline, full = VisModel(replace(SMALL_MODEL, **off)).eval(), VisModel(SMALL_MODEL).eval()
    line = copy_weights(baseline, full)
    clip = torch.randn(1, 2, 3, 64, 96)
    with torch.no_grad():
        assert torch.allclose(baseline(clip).class_logits, full(clip).class_logits, atol=1e-5)
    assert "encoder" in line
    assert "decoder" in line


def test_classes_are_copied_by_name() -> None:
    torch.manual_seed(0)
    theirs = replace(SMALL_MODEL, num_class_slots=2, categories=(Category(0, 1, "cat"), Category(1, 2, "dog")))
    ours = replace(
        SMALL_MODEL, num_class_slots=3, categories=(Category(0, 7, "dog"), Category(1, 8, "cow"), Category(2, 9, "cat"))
    )
    source, target = VisModel(theirs), VisModel(ours)
    cow = target.decoder.class_heads[0].weight[1].clone()
    line = copy_weights(source, target)
    old, new = (model.decoder.class_heads[0].weight for model in (source, target))
    assert torch.equal(new[0], old[1])
    assert torch.equal(new[2], old[0])
    assert torch.equal(new[1], cow)
    assert "2 of 3 categories" in line


def test_classes_go_by_the_maps_of_data_sets_not_by_the_letters_of_a_name() -> None:
    # COCO's mouse is a device, YouTube-VIS 2019's an animal; COCO's bicycles are taken for motorbikes.
    coco = tuple(Category(slot, id_, name) for slot, (id_, name) in enumerate([(74, "mouse"), (2, "bicycle")]))
    source = VisModel(replace(SMALL_MODEL, num_class_slots=2, categories=coco))
    names = NAMED_LISTS["ytvis2019"]
    target = VisModel(replace(SMALL_MODEL, num_class_slots=42, categories=official_categories(names)))
    slots = {category.name: category.slot for category in target.config.categories}
    before = target.decoder.class_heads[0].weight.clone()
    copy_weights(source, target)
    new = target.decoder.class_heads[0].weight
    assert torch.equal(new[slots["mouse"]], before[slots["mouse"]])
    assert torch.equal(new[slots["motorbike"]], source.decoder.class_heads[0].weight[1])
