"""Parameter groups and the schedule, against the recipe's numbers."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from training import SMALL, make_engine

from mssts.train.config import OptimConfig
from mssts.train.optim import learning_rate, thaw_backbone


def test_milestones_of_the_recipe() -> None:
    config = OptimConfig()
    rates = [learning_rate(config, step, num_steps=1200, epochs=12.0) for step in range(1200)]
    assert rates[0] == rates[399] == pytest.approx(2e-4)
    assert rates[400] == rates[999] == pytest.approx(2e-5)
    assert rates[1000] == rates[-1] == pytest.approx(2e-6)


def test_cosine_warms_up_then_falls() -> None:
    config = OptimConfig(learning_rate=1.0, schedule="cosine", warmup_steps=100, final_factor=0.02)
    rates = [learning_rate(config, step, num_steps=1000, epochs=None) for step in range(1001)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(rates[99], rel=0.03)
    assert all(later <= earlier for earlier, later in pairwise(rates[100:]))
    assert rates[-1] == pytest.approx(0.02)


def test_each_parameter_is_in_the_group_of_the_recipe(tmp_path: Path) -> None:
    engine, _ = make_engine(replace(SMALL, optim=OptimConfig()), tmp_path)
    factors = {
        id(parameter): group["factor"] for group in engine.state.optimizer.param_groups for parameter in group["params"]
    }
    for name, parameter in engine.state.model.named_parameters():
        is_slow = name.startswith("backbone.") or "sampling_offsets" in name or "first_reference" in name
        assert factors[id(parameter)] == (0.1 if is_slow else 1.0), name


def test_a_frozen_backbone_can_be_thawed(tmp_path: Path) -> None:
    engine, _ = make_engine(SMALL, tmp_path)
    trainable = {name for name, p in engine.state.model.named_parameters() if p.requires_grad}
    thaw_backbone(engine.state.optimizer, trains=False)
    frozen = {name for name, p in engine.state.model.named_parameters() if p.requires_grad}
    assert frozen == {name for name in trainable if not name.startswith("backbone.")}
    thaw_backbone(engine.state.optimizer, trains=True)
    assert {name for name, p in engine.state.model.named_parameters() if p.requires_grad} == trainable
