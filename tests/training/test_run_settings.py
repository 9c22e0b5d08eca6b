"""Preset, configuration file and flags, and what is wrong in them."""

from pathlib import Path

import pytest

from gcfg_core.errors import InputError
from training.settings.config import RunConfig
from training.settings.flags import parse
from training.settings.presets import PRESETS
from training.settings.read import check_keys, leaves, run_config

NEEDED = ["--base", "b", "--images", "i", "--output", "o"]


def toml(folder: Path, text: str) -> str:
    path = folder / "run.toml"
    path.write_text(text)
    return str(path)


def test_flags_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    file = toml(tmp_path, "[optimizer]\nlr = 0.5\nwarmup_steps = 7\n[data]\nresolution = [64, 96]\n")
    config = parse([*NEEDED, "--preset", "lora", "--config", file, "--warmup-steps", "9"]).config
    assert config.model.kind == "null-text-lora"  # preset
    assert config.optimizer.lr == 0.5  # file over preset
    assert config.optimizer.warmup_steps == 9  # flag over file over preset
    assert config.data.resolution == [64, 96]
    assert config.loop.batch_size == 4


def test_the_file_can_say_everything(tmp_path: Path) -> None:
    file = toml(tmp_path, 'base = "x"\noutput = "y"\n[data]\nimages = "z"\n[loop]\nchannels_last = true\n')
    command = parse(["--config", file, "--dry-run"])
    assert (command.config.base, command.config.output, str(command.config.data.images)) == ("x", "y", "z")
    assert command.config.loop.channels_last and command.dry_run
    assert not parse(["--config", file, "--no-channels-last"]).config.loop.channels_last


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[optimizer]\nlearning_rate = 1\n", r"run.toml: \[optimizer\]: .*'learning_rate'.*Did you mean"),
        ("[optimizer]\nwarmupsteps = 1\n", "Did you mean warmup_steps"),
        ("[optimiser]\nlr = 1\n", "'optimiser'.*Did you mean optimizer"),
        ("lr = 1\n", r"It belongs to \[optimizer\] lr"),
        ("loop = 3\n", r"a table of settings.*Write it as \[loop\]"),
        ("[loop\n", "a TOML file"),
        ("[loop]\nsteps = 0\n", "loop.steps"),
        ("[loop]\nsteps = 'many'\n", "loop.steps"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        parse([*NEEDED, "--config", toml(tmp_path, text)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--base", "b", "--output", "o"], "--images"),
        (["--images", "i", "--output", "o"], "--base"),
        (["--base", "b", "--images", "i"], "--output"),
        ([*NEEDED, "--lrate", "1"], "'?--lrate.*Did you mean --lr"),
        ([*NEEDED, "--lr", "-1"], "optimizer.lr"),
        ([*NEEDED, "--preset", "papr"], "paper.*Did you mean paper"),
        ([*NEEDED, "--config", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_a_wrong_command_line_is_one_clear_line(arguments: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        parse(arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid(name: str) -> None:
    check_keys(PRESETS[name], RunConfig, name)
    assert parse([*NEEDED, "--preset", name]).config.base == "b"


def test_the_paper_preset_is_the_authors_recipe() -> None:
    config = parse([*NEEDED, "--preset", "paper"]).config
    assert config.loop.batch_size * config.loop.accumulation == 32
    assert (config.optimizer.optimizer, config.optimizer.lr, config.loop.precision) == ("adamw8bit", 1e-5, "fp16")
    assert (config.data.resolution, config.data.flip, config.model.train_constant) == (512, 0.5, False)


def test_every_setting_has_a_flag_of_its_own() -> None:
    names = [name for _, name, _ in leaves()]
    assert len(names) == len(set(names))


def test_settings_survive_json() -> None:
    config = parse([*NEEDED, "--preset", "lora", "--resolution", "64", "96"]).config
    assert run_config(config.model_dump(mode="json")) == config
