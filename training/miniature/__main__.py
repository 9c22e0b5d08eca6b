"""The command line: `python -m training.miniature COMMAND ...`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError

from gcfg_core.errors import InputError

from ..console.endings import CTRL_C, Interrupted, ends_with_its_reader
from .experiment import add_options

REQUIREMENTS = "training/requirements.txt -r training/miniature/requirements.txt"


@ends_with_its_reader
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Return 0, 2 after bad input, 130 after Ctrl-C or 143 after SIGTERM, with one line on stderr."""
    options = _options(arguments)
    try:
        print(COMMANDS[options.command](options))
    except BrokenPipeError:
        raise
    except (InputError, OSError, SafetensorError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("training", "gcfg_core"):
            raise
        print(f"error: this Python lacks {error.name}: pip install -r {REQUIREMENTS}", file=sys.stderr)
        return 2
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        return stopped.code
    except KeyboardInterrupt:
        print(f"\ninterrupted: {options.command} was not finished", file=sys.stderr)
        return CTRL_C
    return 0


def _data(options: argparse.Namespace) -> str:
    from .data import PictureCounts, make, pack

    digest = make(options.data, PictureCounts())
    pack(options.data, options.pictures)
    return f"SHA-256 of pixels and captions: {digest}"


def _train(options: argparse.Namespace) -> str:
    from .recipe import RunLengths
    from .train import train_all

    train_all(options.data, options.runs, options.trained, RunLengths())
    return f"{options.trained}"


def _ship(options: argparse.Namespace) -> str:
    from .ship import ship

    ship(options.trained, options.weights)
    return f"{options.weights}"


def _judge(options: argparse.Namespace) -> str:
    import torch

    from .judge import GLASSES_JUDGE, GLASSES_NOISE, JUDGE, accuracy, train_judge, write_judge
    from .labelled import joined, read_labelled
    from .spectacles import with_spectacles
    from .styles import WORN

    parts = ("open", "toon", "pixel")
    known = read_labelled(options.data, *(f"{part}/train" for part in parts))
    worn = with_spectacles(read_labelled(options.data, "toon/train"), seed=0)
    judge, of_glasses = train_judge(known), train_judge(joined(known, worn), WORN, GLASSES_NOISE)
    write_judge(options.weights / JUDGE, judge)
    write_judge(options.weights / GLASSES_JUDGE, of_glasses, torch.float16)  # its features are not compared
    held_out = read_labelled(options.data, *(f"{part}/test" for part in parts))
    worn = with_spectacles(read_labelled(options.data, "toon/test"), seed=1)
    shares = accuracy(judge, held_out) | accuracy(of_glasses, joined(held_out, worn))
    return ", ".join(f"{name} {share:.4f}" for name, share in shares.items())


def _report(options: argparse.Namespace) -> str:
    from .models import Models
    from .results import write_results

    models = Models(options.weights, options.trained)
    return write_results(
        models, options.pictures, options.samples, options.output, options.count, options.seeds, options.only
    )


COMMANDS = {"data": _data, "train": _train, "ship": _ship, "judge": _judge, "report": _report}
HELP = {
    "data": "draw the pictures (needs Node.js and resvg-py)",
    "train": "train every starter model (hours on a CPU; an interrupted run continues)",
    "ship": "copy the chosen models and their cards into the pack's folder",
    "judge": "train the judges",
    "report": "measure what `dev.py bench miniature` sampled: table, numbers, plots",
}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.miniature", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in HELP.items():
        command = commands.add_parser(name, help=about, description=about)
        for option, default, what in PLACES:
            command.add_argument(f"--{option}", type=Path, default=default, help=f"{what} (default {default})")
        if name == "report":
            add_options(command)
    return parser.parse_args(arguments)


PLACES = (
    ("data", Path("output/miniature/data"), "folder of all pictures"),
    ("pictures", Path("starter/pictures.zip"), "archive of the concepts' pictures"),
    ("runs", Path("output/miniature/runs"), "folder of the training runs"),
    ("trained", Path("output/miniature/weights"), "folder of every trained model"),
    ("weights", Path("starter"), "folder with world/, concepts/ and the judges"),
    ("samples", Path("output/miniature/samples"), "folder of the sampled pictures"),
    ("output", Path("starter/results"), "folder of the results"),
)


if __name__ == "__main__":
    sys.exit(main())
