"""Try a run's settings before anything is encoded or measured, to fail early."""

import dataclasses
from pathlib import Path

from ..base.assemble import empty_network
from ..base.identity import base_settings
from ..base.model import Base
from ..base.read import find_base
from ..base.world_config import is_recipe
from ..console.output import check_new_folder
from ..data.outside import refuse_inside
from ..data.scan import check_folder
from ..kinds.network import Network
from ..kinds.table import kind_of
from ..optimizers import optimizer_of
from ..sample.scene import prompt_condition
from ..settings.config import RunConfig
from ..state.ema import profiles
from ..state.record import check_record, given_settings


def rehearse(config: RunConfig, base: Base) -> None:
    """Build the network without its weights and check the settings; the base's UNet is not changed.

    Raises:
        InputError: the optimizer, an average, the start file, the adapters or the prompt cannot be used, or the run in
            the output folder has another base.
    """
    if not is_recipe(config.base):  # a new world's vocabulary comes from the captions, which are compared first
        settings = {"base": base.sha256, **base_settings(base, config.model.reads_text)}
        check_record(Path(config.output), settings, some=True)
    if config.record.prompt is not None and config.record.sample_every:
        prompt_condition(base, config.record.prompt)
    profiles(config.ema)
    optimizer_of(config.optimizer.optimizer).check()
    untrained_network(config, dataclasses.replace(base, unet=empty_network(base.config)))


def untrained_network(config: RunConfig, base: Base) -> Network:
    """Return the network to train, with zeros for constants that are not measured yet; changes the base's UNet.

    Raises:
        InputError: as `Kind.read_start` and `Kind.network`.
    """
    kind, given = kind_of(config.model.kind), config.model.start
    start = kind.empty_start(base) if given is None else kind.read_start(given, base, config.model)
    start = {key: value.to(base.unet.device) for key, value in start.items()}
    return kind.network(base, start, config)


def check_paths(config: RunConfig) -> None:
    """Check the paths of a run; leave nothing behind.

    Raises:
        InputError: no pictures or base there, an output or cache that cannot be made, an output among the pictures, or
            one that holds a run of other settings.
    """
    check_folder(config.data)
    find_base(config.base)
    refuse_inside(config.output, [config.data.images])
    check_new_folder(Path(config.output))
    check_record(Path(config.output), given_settings(config), some=True)
    if config.data.cache is not None:
        check_new_folder(config.data.cache, "cache")
