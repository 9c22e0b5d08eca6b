"""A run's settings tried out before anything is encoded or measured: what cannot be is told at once."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from gcfg_core.concept.null_text import FEATURE, text_attentions
from gcfg_core.errors import InputError

from ..base.model import Base
from ..base.world_config import is_recipe
from ..kinds.build import null_text_network, read_start, text_network
from ..kinds.network import Network
from ..optimizers import optimizer_of
from ..sample.scene import prompt_condition
from ..settings.config import RunConfig
from ..state.base_settings import base_settings
from ..state.profiles import profiles
from ..state.record import check_record


def rehearse(config: RunConfig, base: Base) -> None:
    """Build what a run trains without its weights; the base's UNet stays as it is.

    Raises:
        InputError: an optimizer, an average, a start or adapters that cannot be had, a prompt that cannot be read, or
            another base than that of the run in the output folder.
    """
    if not is_recipe(config.base):  # a new world's words are its pictures', which are compared first
        told = {"base": base.sha256, **base_settings(base, config.model.kind)}
        check_record(Path(config.output), told, some=True)
    if config.record.prompt is not None and config.record.sample_every:
        prompt_condition(base, config.record.prompt)
    profiles(config.ema)
    optimizer_of(config.optimizer.optimizer).check()
    with torch.device("meta"):
        empty: Any = UNet2DConditionModel.from_config(dict(base.config))
    untrained_network(config, dataclasses.replace(base, unet=empty))


def untrained_network(config: RunConfig, base: Base) -> Network:
    """The network that a run trains, its constants zero where they are not measured yet; changes the base's UNet.

    Raises:
        InputError: as `null_text_network`, `text_network` and `read_start`.
    """
    if config.model.kind == "text":
        if config.model.start is not None:
            raise InputError("start", "none for a model that reads text", config.model.start,
                             "Leave it out; a world that was trained is given as --base.")  # fmt: skip
        return text_network(base, config.data.captions != "none", config.model.train_text)
    if config.model.start is not None:
        start = read_start(Path(config.model.start), base, config.model)
    else:
        widths = {path: block.attn2.to_q.in_features for path, block in text_attentions(base.unet)}  # type: ignore[union-attr]
        start = {f"{path}.{FEATURE}": torch.zeros(1, 1, width) for path, width in widths.items()}  # type: ignore[arg-type]
    start = {key: value.to(base.unet.device) for key, value in start.items()}
    return null_text_network(base, start, config.model, config.loop.seed)
