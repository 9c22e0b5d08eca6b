"""The command line: `python -m training COMMAND ...` runs the module of that name in `training.commands`."""

import importlib
import sys
from collections.abc import Sequence

from safetensors import SafetensorError

from gcfg_core.errors import InputError

from .console.endings import BAD_INPUT, CTRL_C, Interrupted, ends_with_its_reader, is_out_of_memory, memory_line
from .console.program import PROGRAM, requirements

COMMANDS = {
    "prepare": "turn a base model into a null-text start, and measure how far it is from the base",
    "train": "train a concept on a folder of images",
    "sample": "draw a concept alone, its base, and both mixed at several weights",
    "evaluate": "measure generated pictures: FID, KID, precision, recall, memorisation",
    "export": "write another average, or an older step, of a run as a concept file",
    "inspect": "show what a concept file, a run or a world contains",
    "convert": "write a bare UNet state dict (.safetensors, .bin, .pt) as a concept file, or back",
}
USAGE = f"usage: {PROGRAM} COMMAND [FLAGS] (COMMAND --help lists the flags)\n\n" + "\n".join(
    f"  {name:<10}{about}" for name, about in COMMANDS.items()
)


@ends_with_its_reader
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line; sys.argv by default.

    Returns:
        The exit code: 0; 2 after bad input, 130 after Ctrl-C and 143 after SIGTERM, each with one line on stderr; 141
        if the reader of the output has closed the pipe.
    """
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    try:
        if name not in COMMANDS:
            raise InputError("command", ", ".join(COMMANDS), repr(name), "Name a command of this list.")
        command = importlib.import_module(f".commands.{name}", __package__)
        text = command.run(command.parse(rest))
        print(text, end="\n" if text else "")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("training", "gcfg_core"):
            raise
        print(f"error: this Python lacks {error.name}: pip install -r {requirements()}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        raise
    except (InputError, OSError, SafetensorError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print(f"error: {memory_line(error)}", file=sys.stderr)
        return BAD_INPUT
    except Interrupted as stopped:
        print(stopped, end="\n" if str(stopped) else "", file=sys.stderr)
        return stopped.code
    except KeyboardInterrupt:
        print(f"\ninterrupted: {name} was not finished", file=sys.stderr)
        return CTRL_C
    return 0
