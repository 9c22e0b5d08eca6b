"""What is wrong on a command line is one line on stderr and exit code 2, whatever the command."""

import json
import signal
from pathlib import Path

import pytest
from train_rigs.samples import concept
from train_rigs.worlds import tiny_world

from gcfg_core.concept.concept_file import write_concept
from gcfg_core.errors import InputError
from training.base.world_write import write_world
from training.cli import main
from training.commands.evaluate import parse as parse_evaluate
from training.commands.prepare import parse as parse_prepare
from training.commands.sample import parse as parse_sample
from training.console.arguments import nearest
from training.console.endings import Interrupted
from training.settings.flags import parse as parse_train
from training.state.checkpoint import fault_of

TRAIN = ["train", "--base", "b", "--images", "i", "--output", "o"]


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that a command refuses its words with."""
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("error: ") and told.err.count("\n") == 1, told.err
    return told.err.strip()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([*TRAIN, "--steps", "-3"], "loop.steps: expected a number greater than 0, got '-3'"),
        ([*TRAIN, "--lr", "inf"], "optimizer.lr: expected a finite number, got 'inf'"),
        ([*TRAIN, "--max-aspect", "inf"], "data.max_aspect: expected a finite number, got 'inf'"),
        ([*TRAIN, "--sigma-rels", "0.05", "nan"], "ema.sigma_rels: expected a finite number, got 'nan'"),
        ([*TRAIN, "--steps", "many"], "loop.steps: expected a whole number, got 'many'"),
        ([*TRAIN, "--flip", "2"], "data.flip: expected a number not above 1.0"),
        ([*TRAIN, "--kind", "q"], "model.kind: expected 'null-text', 'null-text-lora' or 'text', got 'q'"),
        ([*TRAIN, "--resolution", "64", "x"], "data.resolution: expected a whole number, got 'x'"),
        ([*TRAIN, "--resolution", "0"], "data.resolution: expected one resolution or more, each at least 1 pixel"),
        ([*TRAIN, "--betas", "0.9"], "optimizer.betas: expected more values"),
        ([*TRAIN, "--lr"], "--lr: expected a value after it, got none"),
        ([*TRAIN, "--learning-rate", "1"], "got --learning-rate. Did you mean --lr?"),
        ([*TRAIN, "--train-batch-size=1"], "got --train-batch-size. Did you mean --batch-size?"),
        ([*TRAIN, "--compile", "yes"], "expected flags with their values, got yes"),
        (["train", "--base", "b"], "expected a value, got none. Give --output"),
        (["train", "--preset"], "--preset: expected a value after it"),
        (["sample"], "SOURCE: expected a value, got none. Give SOURCE: a concept file, or the folder of a run"),
        (["sample", "a", "--steps", "x"], "steps: expected a whole number, got 'x'"),
        (["sample", "a", "--sampler", "q"], "sampler: expected 'dpm++' or 'ddim', got 'q'"),
        (["evaluate", "--generated", "g"], "--real: expected a value, got none"),
        (["evaluate", "--real", "r", "--runs", "r"], "got --runs. Did you mean --run?"),
        (["prepare", "--base", "b", "--output", "o", "--count", "0"], "count: expected a number not below 1, got '0'"),
        (["prepare"], "--base: expected a value, got none. Give --base: a diffusers folder"),
        (["prepare", "b", "o", "--base", "c"], "base: expected one value, got b and c"),
        (["prepare", "b", "o", "p"], "expected flags with their values, got p"),
        (["prepare", "b", "."], "output: expected a name that ends in .safetensors, got ."),
        (["prepare", "b"], "--output: expected a value, got none"),
        (["inspect"], "expected a value for file, got none"),
        (["inspect", "a", "b"], "expected flags with their values, got b"),
        (["convert", "a", "b", "--prediction-type", "z"], "--prediction-type: expected a value of"),
        (["fly"], "command: expected prepare, train"),
    ],
)
def test_a_slip_of_the_hand_is_one_line(capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    assert told in refusal(capsys, *words)


@pytest.mark.parametrize("command", ["prepare", "train", "sample", "evaluate", "export", "inspect", "convert"])
def test_help_names_the_flags_with_their_defaults(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0 and f"python -m training {command}" in told
    if command == "train":
        assert "learning rate (default: 1e-05)" in told and "143 after SIGTERM" in told
    if command == "evaluate":
        assert "(required)" in told and "weight of the prompt; default with a prompt: 2.5" in told


def test_a_presets_values_are_the_defaults_of_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--preset", "lora", "--help"])
    assert "learning rate (default: 0.0001)" in " ".join(capsys.readouterr().out.split())


def test_words_become_settings() -> None:
    sample = parse_sample(["a", "--w_concept", "0", "2.5", "--w-control", "-1", "--zero-terminal-snr", "--size=64"])
    assert (sample.source, sample.w_concept, sample.w_control) == ("a", (0.0, 2.5), (-1.0,))
    assert (sample.zero_terminal_snr, sample.size, sample.prompt) == (True, 64, None)
    assert parse_sample(["a", "--no-zero-terminal-snr"]).zero_terminal_snr is False
    assert parse_sample(["--prompt", "a face", "a"]).prompt == "a face"
    assert parse_evaluate(["--real", "r", "--feature-size", "8"]).feature_size == 8
    config = parse_train([*TRAIN[1:], "--preset", "lora", "--min-snr-gamma", "None", "--resolution", "64"]).config
    assert config.loss.min_snr_gamma is None and config.data.resolution == 64


def test_prepare_takes_base_and_output_in_places_or_as_flags() -> None:
    wanted = parse_prepare(["--base", "b", "--output", "o.safetensors", "--count", "3"])
    assert (wanted.base, str(wanted.output), wanted.count) == ("b", "o.safetensors", 3)
    for words in ("b o.safetensors --count 3", "b --count 3 o.safetensors", "--count 3 b o.safetensors",
                  "o.safetensors --base b --count 3", "--output o.safetensors b --count=3"):  # fmt: skip
        if words.startswith("o."):
            with pytest.raises(InputError, match="base: expected one value"):  # the first place is the base's
                parse_prepare(words.split())
        else:
            assert parse_prepare(words.split()) == wanted


def test_names_of_other_trainers_are_known() -> None:
    known = ["--lr", "--lr-schedule", "--base", "--images", "--precision"]
    assert nearest("--learning_rate", known) == "Did you mean --lr?"
    assert nearest("--pretrained-model-name-or-path", known) == "Did you mean --base?"
    assert nearest("--mixed-precision", known) == "Did you mean --precision?"
    assert nearest("--zzz", known) == "Leave it out."


def test_inspect_takes_a_run_and_says_what_other_folders_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"config": {}}))
    assert "a run that has not written a concept file yet. Let it finish" in refusal(capsys, "inspect", str(tmp_path))
    write_concept(tmp_path / "cats.safetensors", concept())
    assert main(["inspect", str(tmp_path)]) == 0
    assert f"{tmp_path}/cats.safetensors\n" in capsys.readouterr().out
    for sign, told in (("unet", "a base model's"), ("pictures", "got another folder. Give a file in it"),
                       ("world.json", "of-world.json: world.json: title: expected a text"),
                       ("world/world.json", "world: world.json: title: expected a text")):  # fmt: skip
        folder = tmp_path / f"of-{sign.replace('/', '-')}"
        (folder / sign).parent.mkdir(parents=True)
        (folder / sign).write_text("{}")
        assert told in refusal(capsys, "inspect", str(folder))
    assert "This is a folder. Give a file in it" in refusal(capsys, "convert", str(tmp_path), "out.safetensors")


def test_inspect_shows_the_words_that_a_world_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of its folder, of its page, and of the run that it came from."""
    write_world(tmp_path / "world", tiny_world(["a face, smiling", "a face"]))
    (tmp_path / "run.json").write_text(json.dumps({"config": {}}))
    for place in (tmp_path / "world", tmp_path / "world" / "world.json", tmp_path):
        assert main(["inspect", str(place)]) == 0
        told = {line[:18].strip(): line[18:] for line in capsys.readouterr().out.splitlines()}
        assert told["words"] == "4: a face , smiling" and told["resolution"] == "8"
        assert told["file"] == str(tmp_path / "world") and told["loaded by"].startswith("Load Starter World")


@pytest.mark.parametrize("content", [b"no pickle at all", b"\x80\x02}q\x00.", b""])
def test_a_damaged_file_is_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    (tmp_path / "unet.bin").write_bytes(content)
    told = refusal(capsys, "inspect", str(tmp_path / "unet.bin"))
    assert "Error" not in told and "got dict" not in told, told


def test_a_torn_checkpoint_is_told_in_words(tmp_path: Path) -> None:
    assert fault_of(tmp_path) == "manifest.json: No such file or directory"
    (tmp_path / "manifest.json").write_text("{}")
    assert fault_of(tmp_path) == "manifest.json is damaged"


def test_an_end_before_the_end_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for raised, code, told in (
        (KeyboardInterrupt(), 130, "interrupted: inspect was not finished"),
        (Interrupted(signal.SIGTERM, "stopped at step 3"), 143, "stopped at step 3"),
        (Interrupted(signal.SIGINT), 130, ""),
    ):

        def ended(options: object, raised: BaseException = raised) -> str:
            raise raised

        monkeypatch.setattr("training.commands.inspect.run", ended)
        assert main(["inspect", "a"]) == code
        assert capsys.readouterr().err.strip() == told
