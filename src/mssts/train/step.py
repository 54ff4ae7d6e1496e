"""One optimizer step: forward, losses, the adversarial game, backward, both updates.

Paper: section 3.4 for the game; the rest is the baseline's. A step may accumulate several batches and may be shared by
several processes; either way it equals a step on one large batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mssts.data.batch import Batch
from mssts.loss.adversarial import discriminator_loss, generator_loss, predicted_foreground, true_foreground
from mssts.loss.criterion import Criterion, CriterionOutput, count_instances
from mssts.train.config import TrainConfig
from mssts.train.state import TrainState
from mssts.types import Clip, Prediction, Targets

MIX = 1_000_003


@dataclass
class Engine:
    """What a step works with: the state's modules and optimizers as Fabric wraps them for devices and ranks."""

    fabric: Fabric
    config: TrainConfig
    state: TrainState
    model: Any
    optimizer: Any
    discriminator: Any = None
    discriminator_optimizer: Any = None


class StepReport(NamedTuple):
    """Mean losses of a step over all ranks by name; or what was not finite, and then the step changed nothing.

    A step that was stopped between its batches changed nothing either, and does not count as a step.
    """

    losses: dict[str, float]
    trouble: str
    was_stopped: bool = False


class _BatchLosses(NamedTuple):
    """The terms of one batch; `total` is what the model minimises, `adversary` what the discriminator does."""

    total: Tensor
    adversary: Tensor | None
    terms: dict[str, Tensor]


def train_step(engine: Engine, batches: list[Batch], should_stop: Callable[[], bool] = lambda: False) -> StepReport:
    """Do one step in place; where a loss or gradient of any rank is not finite, no rank's model changes.

    Args:
        engine: The training.
        batches: What the step accumulates.
        should_stop: Asked between batches, which may take minutes; True gives the step up. Several ranks do not ask,
            since they would have to agree.
    """
    state, statistics = engine.state, _statistics(engine.state.model)
    report = _step(engine, batches, should_stop if engine.fabric.world_size == 1 else lambda: False)
    if report.was_stopped or report.trouble:
        for buffer, before in statistics:
            buffer.copy_(before)
    state.num_skipped += bool(report.trouble)
    state.skips_in_a_row = state.skips_in_a_row + 1 if report.trouble else 0
    return report


def _statistics(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """What the forward pass itself changes, the statistics of BatchNorm that is not frozen, and copies of it."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
    return [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]


def _step(engine: Engine, batches: list[Batch], should_stop: Callable[[], bool]) -> StepReport:
    """Forward and backward of every batch, then the update."""
    state, config, fabric = engine.state, engine.config, engine.fabric
    _zero_gradients(engine)
    state.step += 1
    batches = [to_device(batch, fabric.device) for batch in batches]
    count = count_instances([clip for batch in batches for clip in batch.targets], fabric.device)
    num_clips = _mean_num_clips(fabric, sum(len(batch.targets) for batch in batches))
    sums: dict[str, Tensor] = {}
    for index, batch in enumerate(batches):
        if index and should_stop():
            _zero_gradients(engine)
            state.step -= 1
            return StepReport({}, "", was_stopped=True)
        # Seeded by the step's number: a resumed run then draws the same dropout without any saved state.
        torch.manual_seed(((config.seed * MIX + state.step) * MIX + fabric.global_rank) * MIX + index)
        is_last = index == len(batches) - 1
        with fabric.no_backward_sync(engine.model, enabled=not is_last):
            losses = _losses(engine, batch, count, len(batch.targets) / num_clips)
            fabric.backward(losses.total)
        if losses.adversary is not None:
            with fabric.no_backward_sync(engine.discriminator, enabled=not is_last):
                fabric.backward(losses.adversary)
        for name, value in losses.terms.items():
            sums[name] = sums.get(name, 0) + value.detach()
    # Asked once a step: every answer is one that all ranks, and the device, wait for.
    trouble = _non_finite(fabric, sums) or _update(engine)
    if trouble:
        _zero_gradients(engine)
    return StepReport({} if trouble else _mean_over_ranks(fabric, sums), trouble)


def _losses(engine: Engine, batch: Batch, count: Tensor, share: float) -> _BatchLosses:
    """All losses of one batch, which holds `share` of the clips that a rank sees in the step on average."""
    prediction = engine.model(*batch.clip)
    output = Criterion(engine.config.criterion)(prediction, batch.targets, batch.image_sizes, count)
    terms = {name: values[-1] for name, values in output.losses._asdict().items()} | {"total": output.total}
    if engine.discriminator is None:
        return _BatchLosses(output.total, None, terms)
    generator, adversary = _game(engine, batch, prediction, output)
    terms |= {"generator": share * generator, "discriminator": share * adversary}
    return _BatchLosses(output.total + share * engine.config.adversarial.weight * generator, share * adversary, terms)


def _game(engine: Engine, batch: Batch, prediction: Prediction, output: CriterionOutput) -> tuple[Tensor, Tensor]:
    """The adversarial losses of the model (its encoder) and of the discriminator (paper: Eq. 6)."""
    real = true_foreground(batch.targets, prediction)
    fake = predicted_foreground(prediction, output.matches[-1], batch.image_sizes)
    assert engine.state.discriminator is not None
    # The plain module for the model's part: it needs no gradients of its own, so ranks have nothing to exchange.
    judge = engine.state.discriminator
    with engine.fabric.autocast():
        generator = generator_loss(judge, batch.clip, prediction, real, fake, engine.config.adversarial)
    return generator, discriminator_loss(engine.discriminator, batch.clip, prediction, real, fake)


def _update(engine: Engine) -> str:
    """Clip and apply both gradients; the name of what was not finite, if anything."""
    config, state = engine.config, engine.state
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), config.optim.clip_norm)
    # Gradients are the same on all ranks, so all agree.
    if not norm.isfinite():
        return "gradient"
    if engine.discriminator is not None:
        norms = [p.grad.norm() for p in engine.discriminator.parameters() if p.grad is not None]
        if norms and not torch.stack(norms).sum().isfinite():
            return "discriminator gradient"
        engine.discriminator_optimizer.step()
    engine.optimizer.step()
    if state.average is not None:
        state.average.update_parameters(state.model)
    return ""


def _zero_gradients(engine: Engine) -> None:
    engine.optimizer.zero_grad(set_to_none=True)
    if engine.discriminator_optimizer is not None:
        engine.discriminator_optimizer.zero_grad(set_to_none=True)


def _mean_num_clips(fabric: Fabric, num_clips: int) -> float:
    """Clips that a rank sees in this step, on average: gradients are averaged over ranks, whose shares may differ."""
    if fabric.world_size == 1:
        return float(num_clips)
    mean = fabric.all_reduce(torch.tensor(float(num_clips), device=fabric.device), reduce_op="mean")
    assert isinstance(mean, Tensor)
    return float(mean)


def _non_finite(fabric: Fabric, terms: dict[str, Tensor]) -> str:
    """The names of the terms that are not finite on this rank; "another rank's loss" if only another has such."""
    named = ", ".join(name for name, value in terms.items() if not value.isfinite())
    if fabric.world_size == 1:
        return named
    flag = torch.tensor(float(bool(named)), device=fabric.device)
    anywhere = fabric.all_reduce(flag, reduce_op="sum")
    assert isinstance(anywhere, Tensor)
    return named or ("another rank's loss" if anywhere > 0 else "")


def _mean_over_ranks(fabric: Fabric, sums: dict[str, Tensor]) -> dict[str, float]:
    """The step's losses; each rank's are divided by its share of the instances, so their mean is the whole."""
    values = torch.stack(list(sums.values())).float()
    reduced = fabric.all_reduce(values, reduce_op="mean")
    assert isinstance(reduced, Tensor)
    return dict(zip(sums, reduced.tolist(), strict=True))


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on another device."""
    frames, mask = batch.clip
    clip = Clip(frames.to(device, non_blocking=True), None if mask is None else mask.to(device, non_blocking=True))
    targets = [Targets(*(tensor.to(device, non_blocking=True) for tensor in clip_)) for clip_ in batch.targets]
    return Batch(clip, targets, batch.image_sizes)
