"""Check that all machines of a run see the same disk: each makes a part of the latents and reads all of them."""

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from gcfg_core.errors import InputError

from .agreement import agree

TOKEN = ".shared-"


def check_shared(accelerator: Accelerator, folders: Iterable[Path]) -> None:
    """Check that every process sees the files of the first. All processes call this together; create missing folders.

    Raises:
        InputError: a process does not see a file that the first process wrote.
    """
    if accelerator.num_processes == 1:
        return
    for folder in folders:
        token = agree(accelerator, lambda folder=folder: _written(folder))
        seen = torch.tensor([int((folder / token).exists())], device=accelerator.device)
        everywhere: Any = accelerator.gather(seen)
        if accelerator.is_main_process:
            (folder / token).unlink(missing_ok=True)
        if not bool(everywhere.all()):
            blind = int(everywhere.argmin())
            raise InputError(str(folder), "a folder on a disk that all processes share", f"process {blind} without it",
                             "Give --output and --cache on a shared disk.")  # fmt: skip


def _written(folder: Path) -> str:
    name = f"{TOKEN}{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    except OSError as error:
        raise InputError(str(folder), "a folder that can be written", str(error), "Give another folder.") from None
    return name
