"""The verb `info`: what is installed, what can be named, what a model file holds."""

import platform

import av
import timm
import torch
import torchvision

from mssts import __version__
from mssts.api import load
from mssts.config import preset_names
from mssts.locate import BUNDLED
from mssts.model.attention import attention_form
from mssts.model.deformable import deformable_form


def run_info(model_name: str | None) -> int:
    """Print the facts that a bug report needs."""
    print(f"mssts {__version__}, Python {platform.python_version()}, {platform.platform()}")
    libraries = (torch, torchvision, timm, av)
    print(", ".join(f"{library.__name__} {library.__version__}" for library in libraries))
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    print(f"devices: cpu ({torch.get_num_threads()} threads){''.join(f', cuda: {gpu}' for gpu in gpus)}")
    forms = [f"{device}: {deformable_form(device)}" for device in ("cpu", "cuda")[: 1 + bool(gpus)]]
    print(f"deformable attention: {', '.join(forms)}")
    print(f"attention without gradients: cpu: {attention_form()}")
    print(f"presets: {', '.join(preset_names())}")
    print(f"bundled models: {', '.join(BUNDLED)}")
    if model_name:
        segmenter = load(model_name, "cpu")
        config = segmenter.model.config
        parameters = sum(parameter.numel() for parameter in segmenter.model.parameters())
        print(
            f"{model_name}: {config.backbone}, {parameters / 1e6:.1f} M parameters, clips of {config.num_frames} frames"
        )
        print(
            f"  MS-STS attention {_switch(config.ms_sts.enabled)}, decoder's {_switch(config.temporal_decoder.enabled)}"
        )
        for category in config.categories:
            print(f"  class slot {category.slot} = id {category.id} = {category.name}")
    return 0


def _switch(enabled: bool) -> str:
    return "on" if enabled else "off"
