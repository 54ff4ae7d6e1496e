"""Presets: the paper's sizes, and ablations that differ in nothing but their switch."""

from dataclasses import asdict, replace

import pytest
import timm
import torch

from mssts.config import SIZES, preset, preset_names
from mssts.errors import ResourceError
from mssts.model.vis import VisModel


def test_every_preset_name_gives_its_own_configuration() -> None:
    names = preset_names()
    assert len(names) == len(set(names)) == 16
    assert {"r50", "r101", "swin_l", "tiny", "baseline-r50", "ms-sts-swin_l", "t-dec-tiny"} <= set(names)
    configs = [preset(name) for name in names]
    assert all(first != second for i, first in enumerate(configs) for second in configs[:i])


@pytest.mark.parametrize("name", ["", "r52", "baseline-", "baseline-baseline-r50", "R50", "r50-baseline"])
def test_unknown_preset_lists_the_known_ones(name: str) -> None:
    with pytest.raises(KeyError, match="baseline-r50"):
        preset(name)


@pytest.mark.parametrize("size", list(SIZES))
def test_variants_differ_in_exactly_the_switches(size: str) -> None:
    switches = {"baseline-": (False, False), "ms-sts-": (True, False), "t-dec-": (False, True), "": (True, True)}
    seen = set()
    for variant, expected in switches.items():
        config = preset(variant + size)
        assert (config.ms_sts.enabled, config.temporal_decoder.enabled) == expected
        others = {name: value for name, value in asdict(config).items() if name not in ("ms_sts", "temporal_decoder")}
        seen.add(str(others))
        for part in ("ms_sts", "temporal_decoder"):
            if getattr(config, part).enabled:
                assert getattr(config, part) == getattr(SIZES[size], part)
    assert len(seen) == 1


@pytest.mark.parametrize(("name", "blocks"), [("r50", 6), ("r101", 23)])
def test_presets_have_the_sizes_of_the_paper(name: str, blocks: int) -> None:
    """Section 4.1: C = 256, six layers each, 300 queries, T = 5, conv3 to conv5; joint attention on every level."""
    config = preset(name)
    with torch.device("meta"):
        model = VisModel(config)
    weights = model.state_dict()
    assert config.num_frames == 5
    assert config.ms_sts.joint_levels is None
    assert weights["decoder.query_position"].shape == (300, 256)
    assert len(model.encoder.layers) == len(model.decoder.layers) == 6
    assert model.backbone.channels == [512, 1024, 2048]
    assert weights["encoder.layers.5.ms_sts.inter.project.weight"].shape == (256, 512)
    assert weights["encoder.layers.0.feed_forward.linear1.weight"].shape == (1024, 256)
    assert len({key.split(".")[3] for key in weights if key.startswith("backbone.net.layer3.")}) == blocks


def test_variants_build_only_what_they_use() -> None:
    for variant in ("baseline-", "ms-sts-", "t-dec-", ""):
        config = replace(preset(f"{variant}tiny"), backbone="resnet10t")
        with torch.device("meta"):
            names = VisModel(config).state_dict()
        assert any(".ms_sts." in name for name in names) is config.ms_sts.enabled
        assert any(".fusion." in name for name in names) is config.ms_sts.enabled
        assert any(".temporal_attention." in name for name in names) is config.temporal_decoder.enabled


def test_contributions_stay_comparable_in_model_size() -> None:
    """The paper calls its model comparable to SeqFormer in size; shared weights over levels keep ours within 30 %."""
    sizes = []
    for name in ("baseline-r50", "r50"):
        with torch.device("meta"):
            sizes.append(sum(weight.numel() for weight in VisModel(preset(name)).parameters()))
    assert 1 < sizes[1] / sizes[0] < 1.3


def test_pretrained_weights_are_those_of_the_recipes() -> None:
    """Torchvision's for the ResNets, as in Deformable DETR, and ImageNet-22k for Swin-L: in timm, the tag says so.

    Without a tag timm takes whatever it likes best, and that changes.
    """
    tags = {size: SIZES[size].backbone.partition(".")[2] for size in ("r50", "r101", "swin_l")}
    assert tags == {"r50": "tv_in1k", "r101": "tv_in1k", "swin_l": "ms_in22k"}
    assert all(timm.is_model_pretrained(SIZES[size].backbone) for size in SIZES)
    assert timm.get_pretrained_cfg_value(SIZES["swin_l"].backbone, "num_classes") == 21841


def test_a_hub_that_cannot_be_reached_is_one_line_with_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def offline(name: str, pretrained: bool = False, **options):
        """As timm fails without a network."""
        if pretrained:
            raise ConnectionError("Max retries exceeded with url: /timm/resnet50")
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    told = r"resnet50\.tv_in1k.*ConnectionError.*--init FILE.*--backbone_weights none"
    with pytest.raises(ResourceError, match=told):
        VisModel(replace(preset("r50"), num_encoder_layers=1, num_decoder_layers=1), pretrained=True)
