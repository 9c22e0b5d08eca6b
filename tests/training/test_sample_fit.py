"""A concept of another family than the base, or from another base, is told before anything is drawn."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from train_rigs.samples import TINY, TINY_XL, base, concept, unet
from train_rigs.worlds import tiny_world

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import write_concept
from gcfg_core.concept.lora import LoraConcept, check_lora_concept
from gcfg_core.concept.null_text import FEATURE, remove_text_attention
from gcfg_core.errors import InputError
from training.base.world_write import write_world
from training.commands.evaluate import parse as parse_evaluate
from training.commands.evaluate import run as evaluate
from training.commands.sample import parse, run
from training.export.concept import concept_of
from training.export.facts import TrainingFacts
from training.kinds.checks import GIVE
from training.sample.fit import base_of_record, check_family, other_base
from training.sample.source import load_source, open_source
from training.state.checkpoint import Checkpoint, write_checkpoint


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"config": {**TINY, "in_channels": 4, "out_channels": 4}}, "3 latent channels, got 4"),
        ({"latent_format": "SD15"}, "the base's latents, ChromaRadiance, got SD15"),
        ({"config": TINY_XL}, "the base's family, sd15, got sdxl"),
        ({"config": {**TINY, "use_linear_projection": True}}, "the base's family, sd15, got sd2"),
        ({"config": {**TINY, "cross_attention_dim": 24}}, "text features are 16 wide, as the base's, got 24"),
    ],
)
def test_another_family_is_refused_in_one_line(changes: dict, told: str) -> None:
    with pytest.raises(InputError, match=f"^toons: .*{told}. Give the base it was trained from.$"):
        check_family(dataclasses.replace(concept(), **changes), base(), "toons")


def test_the_same_family_of_another_size_may_be_mixed() -> None:
    check_family(concept(latent_format="ChromaRadiance"), base(), "toons")
    check_family(concept(config={**TINY, "block_out_channels": [32, 32]}), base(), "toons")


def test_a_lora_for_another_network_is_refused() -> None:
    shapes = {"conv_in.lora_A.weight": (2, 4, 3, 3), "conv_in.lora_B.weight": (32, 2, 1, 1)}  # of 4 channels
    features = {key: value for key, value in concept().tensors.items() if key.endswith(FEATURE)}
    lora = LoraConcept({key: torch.zeros(shape) for key, shape in shapes.items()}, features, TINY, 2, 2.0, "")
    with pytest.raises(InputError, match="^run: expected conv_in.lora_A.weight of shape .*Give the base"):
        check_lora_concept(lora, "run", GIVE)
    for part, key in (("factors", "conv_in.lora_B.weight"), ("features", next(iter(features)))):
        left = {name: value for name, value in getattr(lora, part).items() if name != key}
        with pytest.raises(InputError, match=f"^run: .* lacks {key}.*Give the base"):
            check_lora_concept(dataclasses.replace(lora, **{part: left}), "run", GIVE)


def test_another_base_is_told_where_it_is_known() -> None:
    own = base()
    assert other_base("", own, "toons") is None and other_base("SD1.5", own, "toons") is None
    assert other_base(f"tiny base (sha256 {own.sha256})", own, "toons") is None
    told = other_base(f"old (sha256 {'cd' * 32})", own, "toons")
    assert told is not None and "old" in told and "tiny base" in told and "\n" not in told
    assert base_of_record({}) == "" and "cd" * 32 in base_of_record({"base": {"name": "a", "sha256": "cd" * 32}})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A world's folder and pictures."""
    write_world(tmp_path / "world", tiny_world())
    (tmp_path / "pictures").mkdir()
    return tmp_path


def draw(place: Path, made: Concept, *words: str) -> str:
    write_concept(place / "toons.safetensors", made)
    common = ["--base", str(place / "world"), "--w-concept", "1", "--steps", "1", "--device", "cpu"]
    return run(parse([str(place / "toons.safetensors"), *common, "--output", str(place / "grid.png"), *words]))


def test_the_commands_warn_of_another_base_and_refuse_another_family(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = tiny_world()
    trained = remove_text_attention(unet(1, world.config)).state_dict()
    own = concept_of(world, trained, TrainingFacts(resolution=8))
    draw(place, own)
    assert "warning" not in capsys.readouterr().err
    draw(place, dataclasses.replace(own, base=f"old (sha256 {'cd' * 32})"))
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(told) == 1 and "toons.safetensors was trained from another base: old" in told[0]
    with pytest.raises(InputError, match="^toons.safetensors: expected a concept"):
        draw(place, concept())


def run_folder(place: Path, config: dict, kind: str = "null-text") -> Path:
    """A run of a UNet of a configuration, that says it began with another base, with one checkpoint."""
    folder = place / "run"
    folder.mkdir()
    given = {"base": str(place / "world"), "model": {"kind": kind}, "data": {"images": str(place / "pictures")}}
    told = {"config": {**given, "ema": {"ema": "none"}}, "settings": {}, "base": {"name": "old", "sha256": "cd" * 32}}
    (folder / "run.json").write_text(json.dumps(told))
    weights = {f"unet.{key}": value for key, value in unet(0, config, null_text=True).state_dict().items()}
    write_checkpoint(folder / "checkpoints", Checkpoint(1, {"weights": weights}, {}), 1)
    return folder


def test_a_checkpoint_of_another_network_is_refused(place: Path) -> None:
    folder = run_folder(place, {**tiny_world().config, "block_out_channels": [64, 64]})
    with pytest.raises(InputError, match="the network of this base, got a difference at .*Give the base"):
        load_source(open_source(str(folder)), tiny_world())


def test_a_checkpoint_knows_the_base_of_its_run(place: Path) -> None:
    source = open_source(str(run_folder(place, tiny_world().config)))
    assert other_base(load_source(source, tiny_world())[0].base, tiny_world(), "run") is not None


def test_no_output_lands_among_the_pictures(place: Path) -> None:
    folder, inside = str(run_folder(place, tiny_world().config)), place / "pictures" / "deeper"
    inside.mkdir()
    with pytest.raises(InputError, match="^output: expected a place outside the pictures"):
        run(parse([folder, "--output", str(inside / "grid.png"), "--device", "cpu"]))
    pictures = str(place / "pictures")
    other = str(place / "world")
    for given in (["--real", pictures, "--generated", other], ["--real", other, "--generated", pictures],
                  ["--real", other, "--generated", other, "--train", pictures],
                  ["--real", other, "--run", folder]):  # fmt: skip
        with pytest.raises(InputError, match="^output: expected a place outside the pictures"):
            evaluate(parse_evaluate([*given, "--output", str(inside / "evaluation"), "--device", "cpu"]))
    assert list(inside.iterdir()) == []
