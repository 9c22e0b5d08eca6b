"""An argparse parser whose errors are one-line InputErrors with suggestions."""

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence
from typing import NoReturn

from gcfg_core.errors import InputError

# Other trainers' name of a setting -> its name here.
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

LIKE = 0.5  # difflib's ratio, 0 to 1, from which a name counts as a typing error


def nearest(name: str, known: Iterable[str], otherwise: str = "Leave it out.") -> str:
    """Return a sentence that suggests the closest known name, or ``otherwise``. Names may be flags or plain names."""
    names, given = {_plain(flag): flag for flag in known}, _plain(name)
    meant = [plain for plain in names if ELSEWHERE.get(given) == plain or given.startswith(plain)]
    close = sorted(meant, key=len)[-1:] or difflib.get_close_matches(given, list(names), 1, LIKE)
    return f"Did you mean {names[close[0]]}?" if close else otherwise


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


class Arguments(argparse.ArgumentParser):
    """argparse's parser, but errors are InputErrors. Flags cannot be abbreviated; `_` in a flag means `-`."""

    def __init__(self, prog: str, about: str = "", **options: object) -> None:
        super().__init__(prog=prog, description=about, allow_abbrev=False, **options)  # type: ignore[arg-type]

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the command line.

        Raises:
            InputError: an unknown flag, a flag without its value, or a missing argument.
            SystemExit: --help.
        """
        has_positional = any(action.nargs == "?" and not action.option_strings for action in self._actions)
        read = self.parse_known_intermixed_args if has_positional else self.parse_known_args
        parsed, unknown = read([_with_dashes(word) for word in words])
        if unknown:
            flags = [word.split("=")[0] for word in unknown if word.startswith("--")]
            known = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
            if flags:
                raise InputError("command line", "a known flag", flags[0], nearest(flags[0], known, self._help()))
            raise InputError("command line", "flags with their values", unknown[0], self._help())
        return parsed

    def error(self, message: str) -> NoReturn:
        """Turn argparse's message into an InputError; argparse calls this."""
        flag, _, about = message.removeprefix("argument ").partition(": ")
        choice = re.fullmatch(r"invalid choice: (.+) \(choose from (.+)\)", about)
        if choice:
            raise InputError(flag, f"a value of {choice[2]}", choice[1], self._help())
        if about.startswith("expected "):
            raise InputError(flag, "a value after it", "none", self._help())
        if flag.startswith("the following arguments are required"):
            raise InputError("command line", f"a value for {about}", "none", self._help())
        raise InputError("command line", "other words", message, self._help())

    def _help(self) -> str:
        return f"`{self.prog} --help` lists the flags."


def _with_dashes(word: str) -> str:
    if not word.startswith("--"):
        return word
    flag, is_, value = word.partition("=")
    return flag.replace("_", "-") + is_ + value
