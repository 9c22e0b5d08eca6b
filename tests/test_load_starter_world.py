"""Load Starter World, the node: where it looks for worlds, what it offers, and clear refusals of what it cannot use."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import folder_paths
import pytest
from safetensors.torch import load_file, save_file

from rigs.null_text import metadata_of
from rigs.worlds import tiny_world, write_tiny_concept, write_tiny_world

NODE = "GCFG_LoadStarterWorld"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_world(tmp_path_factory.mktemp("written") / "tiny", tiny_world())


@pytest.fixture
def worlds(pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty models/gcfg_worlds, and a pack that ships nothing."""
    folder = tmp_path / "gcfg_worlds"
    folder.mkdir()
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "gcfg_worlds", ([str(folder)], {".json"}))
    monkeypatch.setattr(pack.module("nodes.loading.model_folders"), "SHIPPED_WORLD", tmp_path / "starter" / "world")
    yield folder


def offered(pack: Any) -> list[str]:
    kind, options = pack.node(NODE).INPUT_TYPES()["required"]["world"]
    return list(options.get("options", kind))


def test_without_a_world_it_says_what_to_do(pack: Any, worlds: Path) -> None:
    assert offered(pack) == ["no world found"]
    with pytest.raises(ValueError, match="input world: no world found: .*world.json in models/gcfg_worlds.*Put a wor"):
        pack.run(NODE)


def test_a_world_hidden_by_another_of_its_name_is_told(
    pack: Any, worlds: Path, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    second = tmp_path / "second"
    for folder in (worlds, second):
        shutil.copytree(written, folder / "faces")
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "gcfg_worlds", ([str(worlds), str(second)], {".json"}))
    for _ in range(2):
        assert offered(pack) == ["faces"]
    warnings = [record.getMessage() for record in caplog.records if "not offered" in record.getMessage()]
    assert len(warnings) == 1 and str(second) in warnings[0]


def test_it_offers_the_shipped_world_by_its_title_and_folders_by_their_path(
    pack: Any, worlds: Path, written: Path, tmp_path: Path
) -> None:
    shutil.copytree(written, worlds / "b")
    shutil.copytree(written, worlds / "mine" / "a")
    (worlds / "mine" / "a" / "inner").mkdir()
    (worlds / "mine" / "a" / "inner" / "world.json").touch()
    (worlds / ".a.half-written.tmp").mkdir()
    (worlds / ".a.half-written.tmp" / "world.json").touch()
    (worlds / "notes").mkdir()
    assert offered(pack) == ["b", "mine/a"]
    shutil.copytree(written, tmp_path / "starter" / "world")
    assert offered(pack) == ["Tiny world", "b", "mine/a"]
    (tmp_path / "starter" / "world" / "world.json").write_text("{")
    assert offered(pack) == ["starter", "b", "mine/a"]
    with pytest.raises(ValueError, match="input world: starter: world.json: The file is not a JSON object"):
        pack.run(NODE, world="starter")
    assert len(pack.run(NODE, world="mine/a")) == 4


def test_inputs_and_outputs_are_explained(pack: Any) -> None:
    schema = pack.node(NODE).define_schema()
    assert all(socket.tooltip for socket in (*schema.inputs, *schema.outputs)) and schema.description
    assert [output.get_io_type() for output in schema.outputs] == ["MODEL", "CLIP", "VAE", "LATENT"]


def test_a_world_written_again_is_loaded_again(pack: Any, worlds: Path, written: Path) -> None:
    shutil.copytree(written, worlds / "a")
    node, prints = pack.node(NODE), []
    for name in ("", "world.json", "unet.safetensors", "text_encoder.safetensors"):
        if name:
            os.utime(worlds / "a" / name, (1, 1))
        prints += [node.fingerprint_inputs(world="a")] * 2
    assert len(set(prints)) == 4
    assert node.fingerprint_inputs(world="gone")


def page(folder: Path, **changes: Any) -> None:
    page = json.loads((folder / "world.json").read_text())
    (folder / "world.json").write_text(json.dumps({**page, **changes}))


def other_weights(path: Path, key: str) -> None:
    tensors, metadata = load_file(path), metadata_of(path)
    save_file({**tensors, key: tensors[key] + 1}, path, metadata)


SPOILED = {
    "newer": (lambda at: page(at, format=3), "world.json: format: .*newer format 3.*Update this node pack"),
    "torn page": (lambda at: (at / "world.json").write_text("{"), "world.json: The file is not a JSON object"),
    "other codec": (
        lambda at: page(at, codec="vae"),
        "world.json: codec: expected pixels or tiny-autoencoder, got 'vae'",
    ),
    "other latents": (lambda at: page(at, latent_format="PixelBlocks2"), "the latent format of world.json"),
    "no unet": (lambda at: (at / "unet.safetensors").unlink(), "unet.safetensors: There is no file of this name"),
    "torn unet": (lambda at: os.truncate(at / "unet.safetensors", 9000), "unet.safetensors: .*incomplete or damaged"),
    "other unet": (
        lambda at: other_weights(at / "unet.safetensors", "conv_in.bias"),
        "not those that world.json names",
    ),
    "no text": (lambda at: (at / "text_encoder.safetensors").unlink(), "text_encoder.safetensors: There is no file"),
    "torn text": (lambda at: os.truncate(at / "text_encoder.safetensors", 9000), "text_encoder.*incomplete or damaged"),
    "other text": (
        lambda at: other_weights(at / "text_encoder.safetensors", "text_model.final_layer_norm.bias"),
        "text_encoder.safetensors: Its weights are not those that world.json names",
    ),
    "concept": (lambda at: write_tiny_concept(at / "unet.safetensors"), "expected a UNet that reads text"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_world_that_cannot_be_used_is_refused_in_one_line(pack: Any, worlds: Path, written: Path, case: str) -> None:
    spoil, message = SPOILED[case]
    shutil.copytree(written, worlds / "a")
    spoil(worlds / "a")
    with pytest.raises(ValueError, match=f"^Load Starter World, input world: a: .*{message}") as caught:
        pack.run(NODE, world="a")
    assert "\n" not in str(caught.value)


def test_shipped_concepts_are_offered_after_the_users(
    pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`starter/concepts` is a further path of gcfg_concepts, where it exists."""
    module = pack.module("nodes.loading.model_folders")
    mine, shipped = tmp_path / "mine", tmp_path / "starter" / "concepts"
    mine.mkdir()
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "gcfg_concepts", ([str(mine)], set()))
    monkeypatch.setattr(module, "STARTER", tmp_path / "starter")
    default = os.path.join(folder_paths.models_dir, "gcfg_concepts")
    module.register_model_folders()
    assert folder_paths.get_folder_paths("gcfg_concepts") == [str(mine), default]
    shipped.mkdir(parents=True)
    write_tiny_concept(shipped / "theirs.safetensors")
    module.register_model_folders()
    module.register_model_folders()
    assert folder_paths.get_folder_paths("gcfg_concepts") == [str(mine), default, str(shipped)]
    folder_paths.filename_list_cache.clear()
    assert "theirs.safetensors" in module.concept_names()
    assert module.concept_path("theirs.safetensors") == str(shipped / "theirs.safetensors")
    folder_paths.filename_list_cache.clear()
