"""From a configuration to a training that can take its first, or its next, step."""

import io
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.optim.swa_utils import AveragedModel

from mssts.checkpoint import load_model
from mssts.config import Category, ModelConfig
from mssts.data.batch import ClipSource
from mssts.data.categories import NAMED_LISTS, official_categories
from mssts.data.open_source import open_training_set
from mssts.errors import BadInputError, ResourceError
from mssts.locate import find_checkpoint
from mssts.loss.discriminator import Discriminator
from mssts.model.vis import VisModel
from mssts.train.config import STATE_FILE, SYNTHETIC, TrainConfig
from mssts.train.imagenet import load_imagenet_lite0
from mssts.train.optim import average_update, make_discriminator_optimizer, make_optimizer
from mssts.train.state import TrainState, restore_state
from mssts.train.step import Engine
from mssts.train.synthetic_clips import SyntheticClips
from mssts.train.warm_start import copy_weights

# A rank that waits longer than this for another takes it for dead and ends too.
RANK_TIMEOUT = timedelta(minutes=30)


def make_fabric(config: TrainConfig) -> Fabric:
    """The devices, processes and precision; started by torchrun or SLURM, it joins what they have set up.

    Raises:
        ResourceError: The machine has not the GPUs that are asked for.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    devices = int(os.environ.get("LOCAL_WORLD_SIZE", config.devices))
    if config.accelerator == "cuda" and torch.cuda.device_count() < devices:
        have = torch.cuda.device_count()
        raise ResourceError(f"--accelerator cuda --devices {devices}: PyTorch finds {have} CUDA GPUs on this machine")
    strategy: Any = "auto"
    # A training on a cluster's login or interactive node is meant as it is.
    warnings.filterwarnings("ignore", message="The `srun` command is available")
    if devices * config.num_nodes > 1:
        # Channels-last convolutions make such gradients; DDP copies them, which costs nothing beside the convolutions.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        # A backbone that is frozen at first has parameters without gradients, which DDP must be told to look for.
        strategy = DDPStrategy(timeout=RANK_TIMEOUT, find_unused_parameters=config.optim.backbone_start > 0)
    return Fabric(
        accelerator=config.accelerator,
        strategy=strategy,
        devices=devices,
        num_nodes=config.num_nodes,
        precision=config.precision,
    )


def open_clips(config: TrainConfig, is_talkative: bool = True) -> ClipSource:
    """The training clips: the endless synthetic set, or sets on disk.

    Args:
        config: Of the training.
        is_talkative: Print which categories are left out; one of several ranks does so.

    Raises:
        BadInputError: A set cannot be read, or the synthetic set is to be joined with others.
    """
    if SYNTHETIC in config.data:
        if len(config.data) > 1:
            raise BadInputError(
                "--data synthetic cannot be joined with other sets; write one with mssts data synthesize"
            )
        return SyntheticClips(config.synthetic)
    with redirect_stdout(sys.stdout if is_talkative else io.StringIO()):
        return open_training_set(config.data, config.split, config.categories, config.augmentation)


def model_config(config: TrainConfig, categories: Sequence[Category]) -> ModelConfig:
    """The model's configuration with the data's categories and as many class slots as they need."""
    if config.categories is not None:
        names = NAMED_LISTS[config.categories]
        return replace(config.model, categories=official_categories(names), num_class_slots=len(names) + 2)
    slots = 1 + max(category.slot for category in categories)
    return replace(config.model, categories=tuple(categories), num_class_slots=slots)


def prepare(config: TrainConfig, fabric: Fabric, categories: Sequence[Category], num_items: int) -> Engine:
    """Make model, adversary and optimizers, as they were at the last checkpoint if there is one to resume.

    Args:
        config: Of the training.
        fabric: Devices and ranks.
        categories: Of the data.
        num_items: How many items the data have; a checkpoint is continued on as many only.

    Raises:
        CheckpointError: The checkpoint, or the model to start from, cannot be used.
        ResourceError: The run folder cannot be made.
    """
    path = config.out / STATE_FILE
    try:
        config.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"{config.out}: cannot make the folder ({error.strerror})") from error
    resuming = path.exists()
    if config.resume == "auto" and not resuming:
        fabric.print(f"{path}: no checkpoint there yet; the training starts from the beginning", flush=True)
    engine = build_engine(config, fabric, model_config(config, categories), fresh=not resuming)
    engine.state.num_items = num_items
    if resuming:
        restore_state(engine.state, config, path)
        fabric.print(f"{path}: resumed after step {engine.state.step}", flush=True)
    return engine


def build_engine(config: TrainConfig, fabric: Fabric, shape: ModelConfig, fresh: bool) -> Engine:
    """The training before its first step.

    Args:
        config: Of the training.
        fabric: Devices and ranks.
        shape: The model, with the data's categories.
        fresh: Load the weights that the training starts from; a resumed run need not, it will overwrite them.
    """
    return _wrap(config, fabric, _new_state(config, shape, fresh, fabric.is_global_zero))


def _new_state(config: TrainConfig, shape: ModelConfig, fresh: bool, is_talkative: bool) -> TrainState:
    """Model, adversary, average and optimizers, seeded."""
    torch.manual_seed(config.seed)
    model = VisModel(shape, pretrained=fresh and config.backbone_weights == "hub" and config.init is None).train()
    if fresh and config.backbone_weights == "package":
        load_imagenet_lite0(model.backbone)
    if fresh and config.init is not None:
        line = copy_weights(load_model(find_checkpoint(config.init)), model)
        if is_talkative:
            print(line, flush=True)
    state = TrainState(model, make_optimizer(model, config.optim))
    if config.adversarial.enabled:
        state.discriminator = Discriminator(shape.hidden_dim).train()
        state.discriminator_optimizer = make_discriminator_optimizer(
            state.discriminator, config.adversarial, config.optim.epsilon
        )
    if config.ema is not None:
        state.average = AveragedModel(model, multi_avg_fn=average_update(config.ema), use_buffers=True)
    return state


def _wrap(config: TrainConfig, fabric: Fabric, state: TrainState) -> Engine:
    """Let Fabric move everything to the device and join the ranks."""
    model, optimizer = fabric.setup(state.model, state.optimizer)
    engine = Engine(fabric, config, state, model, optimizer)
    if state.discriminator is not None and state.discriminator_optimizer is not None:
        engine.discriminator, engine.discriminator_optimizer = fabric.setup(
            state.discriminator, state.discriminator_optimizer
        )
    if state.average is not None:
        state.average.to(fabric.device)
    state.model.encoder.checkpointing = config.checkpointing
    return engine
