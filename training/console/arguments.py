"""A command line's words: what is wrong with them is one line, as with everything else that a user can put right."""

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence
from typing import NoReturn

from gcfg_core.errors import InputError

# What other trainers call a setting -> what it is called here.
ELSEWHERE = {
    "learning_rate": "lr",
    "lr_scheduler": "lr_schedule",
    "lr_warmup_steps": "warmup_steps",
    "train_batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulation",
    "max_train_steps": "steps",
    "mixed_precision": "precision",
    "network_dim": "lora_rank",
    "rank": "lora_rank",
    "snr_gamma": "min_snr_gamma",
    "checkpointing_steps": "save_every",
    "model": "base",
    "pretrained_model_name_or_path": "base",
    "dataset": "images",
    "instance_data_dir": "images",
    "train_data_dir": "images",
    "output_dir": "output",
}

LIKE = 0.5  # of 1, by difflib: what is less alike is no slip of the hand


def nearest(name: str, known: Iterable[str], otherwise: str = "Leave it out.") -> str:
    """A sentence with the known name that a wrong one stands for; both may be flags or plain names."""
    names, given = {_plain(one): one for one in known}, _plain(name)
    meant = [one for one in names if ELSEWHERE.get(given) == one or given.startswith(one)]
    close = sorted(meant, key=len)[-1:] or difflib.get_close_matches(given, list(names), 1, LIKE)
    return f"Did you mean {names[close[0]]}?" if close else otherwise


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


class Arguments(argparse.ArgumentParser):
    """argparse's parser, but every complaint is an InputError. Flags are never abbreviated; _ in one is a -."""

    def __init__(self, prog: str, about: str = "", **options: object) -> None:
        super().__init__(prog=prog, description=about, allow_abbrev=False, **options)  # type: ignore[arg-type]

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """What the words say.

        Raises:
            InputError: an unknown flag, one without its value, or something missing.
            SystemExit: --help.
        """
        in_places = any(action.nargs == "?" and not action.option_strings for action in self._actions)
        read = self.parse_known_intermixed_args if in_places else self.parse_known_args
        found, unknown = read([_with_dashes(word) for word in words])
        if unknown:
            flags = [word.split("=")[0] for word in unknown if word.startswith("--")]
            known = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
            if flags:
                raise InputError("command line", "a known flag", flags[0], nearest(flags[0], known, self._help()))
            raise InputError("command line", "flags with their values", unknown[0], self._help())
        return found

    def error(self, message: str) -> NoReturn:
        """Called by argparse."""
        flag, _, about = message.removeprefix("argument ").partition(": ")
        choice = re.fullmatch(r"invalid choice: (.+) \(choose from (.+)\)", about)
        if choice:
            raise InputError(flag, f"one of {choice[2]}", choice[1], self._help())
        if about.startswith("expected "):
            raise InputError(flag, "a value after it", "none", self._help())
        if flag.startswith("the following arguments are required"):
            raise InputError("command line", f"a value for {about}", "none", self._help())
        raise InputError("command line", "other words", message, self._help())

    def _help(self) -> str:
        return f"`{self.prog} --help` tells more."


def _with_dashes(word: str) -> str:
    if not word.startswith("--"):
        return word
    flag, is_, value = word.partition("=")
    return flag.replace("_", "-") + is_ + value
