"""A small world in ComfyUI's own workflows: sampled, inpainted, mixed with a concept, patched and saved."""

import json
from pathlib import Path
from typing import Any

import folder_paths
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from rigs.graphs import norm_error
from rigs.host import ROOT
from rigs.workflows import WorkflowRunner
from rigs.worlds import TINY, tiny_world, write_tiny_concept, write_tiny_world

SAMPLER = {"seed": 3, "steps": 3, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}


class Loaded:
    """What the node gives, and a prompt."""

    def __init__(self, pack: Any, folder: Path, factor: int) -> None:
        write_tiny_world(folder / "tiny", tiny_world(factor))
        self.factor = factor
        self.model, self.clip, self.vae, self.latent = pack.run("GCFG_LoadStarterWorld", world="tiny")
        self.positive, self.negative = (
            pack.run("CLIPTextEncode", clip=self.clip, text=text)[0] for text in ("a (red:1.3) face", "")
        )


@pytest.fixture(scope="module", params=[1, 2, 4, 8])
def world(pack: Any, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Loaded:
    folder = tmp_path_factory.mktemp("worlds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(folder_paths.folder_names_and_paths, "gcfg_worlds", ([str(folder)], {".json"}))
        return Loaded(pack, folder, request.param)


def sampled(pack: Any, world: Loaded, latent: dict[str, Any], cfg: float = 2.0, **other: Any) -> dict[str, Any]:
    conds = {"positive": world.positive, "negative": world.negative}
    settings = {**SAMPLER, **conds, "model": world.model, "latent_image": latent, "cfg": cfg, **other}
    return pack.run("KSampler", **settings)[0]


def picture(pack: Any, world: Loaded, latent: dict[str, Any]) -> Tensor:
    return pack.run("VAEDecode", samples=latent, vae=world.vae)[0]


def blank(pack: Any, world: Loaded, side: int = 0, batch: int = 1) -> dict[str, Any]:
    """A latent of ``side`` pixels, on every host: older ones' empty latents are an eighth of their size."""
    side = side or max(16, 4 * world.factor)
    (image,) = pack.run("EmptyImage", width=side, height=side, batch_size=batch, color=0x808080)
    return pack.run("VAEEncode", pixels=image, vae=world.vae)[0]


def test_its_latent_is_an_empty_picture_of_its_size(pack: Any, world: Loaded) -> None:
    side = TINY["resolution"]
    assert not world.latent["samples"].any() and world.latent["samples"].shape[-1] == side // world.factor
    done = picture(pack, world, sampled(pack, world, world.latent))
    assert done.shape == (1, side, side, 3) and float(done.std()) > 0.01
    (several,) = pack.run("RepeatLatentBatch", samples=world.latent, amount=3)
    assert picture(pack, world, sampled(pack, world, several)).shape == (3, side, side, 3)


def test_stock_nodes_make_pictures(pack: Any, world: Loaded) -> None:
    (latent,) = pack.run("EmptyLatentImage", width=64, height=128, batch_size=2)
    images = picture(pack, world, sampled(pack, world, latent))
    factor = 1 if "downscale_ratio_spacial" in latent else world.factor / 8
    assert images.shape == (2, 128 * factor, 64 * factor, 3)
    assert torch.isfinite(images).all() and images.min() >= 0 and images.max() <= 1 and images.std() > 0.01


def test_it_takes_a_checkpoint_loaders_place_in_a_workflow(
    pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through ComfyUI's own validation and executor; an image that is encoded gives the size on every host."""
    world = write_tiny_world(tmp_path / "worlds" / "tiny", tiny_world(2))
    concept = write_tiny_concept(tmp_path / "concept.safetensors", 2)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "gcfg_worlds", ([str(world.parent)], {".json"}))
    prompt = json.loads((ROOT / "workflows" / "api" / "concept_and_control.json").read_text(encoding="utf-8"))
    by_class = {node["class_type"]: key for key, node in prompt.items()}
    loader = by_class["CheckpointLoaderSimple"]
    prompt[loader] = {"class_type": "GCFG_LoadStarterWorld", "inputs": {"world": "tiny"}}
    prompt[by_class["GCFG_LoadConceptModel"]]["inputs"]["concept_name"] = concept.name
    sizes = {"width": 64, "height": 32, "batch_size": 2, "color": 0}
    prompt["image"] = {"class_type": "EmptyImage", "inputs": sizes}
    encode = {"class_type": "VAEEncode", "inputs": {"pixels": ["image", 0], "vae": [loader, 2]}}
    prompt[by_class["EmptyLatentImage"]] = encode
    with WorkflowRunner(pack, tmp_path / "base") as runner:
        done = runner.run(prompt, 3, models={"gcfg_concepts": {concept.name: concept}})
    assert done.evaluations == [[3] * 3] and len(done.images) == 2
    assert Image.open(done.images[0]).size == (64, 32)


def test_prompts_matter(pack: Any, world: Loaded) -> None:
    latent = blank(pack, world)
    (other,) = pack.run("CLIPTextEncode", clip=world.clip, text="a (red:1.4) face")
    one, two = sampled(pack, world, latent), sampled(pack, world, latent, positive=other)
    assert norm_error(one["samples"], two["samples"]) > 1e-6
    assert torch.equal(one["samples"], sampled(pack, world, latent)["samples"])


@pytest.mark.parametrize("node", ["VAEEncodeForInpaint", "SetLatentNoiseMask"])
def test_what_no_mask_covers_stays(pack: Any, world: Loaded, node: str) -> None:
    images = torch.rand(1, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 32, 32)
    mask[:, :, 16:] = 1.0
    if node == "VAEEncodeForInpaint":
        (latent,) = pack.run(node, pixels=images, vae=world.vae, mask=mask, grow_mask_by=0)
    else:
        (latent,) = pack.run("VAEEncode", pixels=images, vae=world.vae)
        (latent,) = pack.run(node, samples=latent, mask=mask)
    done = sampled(pack, world, latent)["samples"]
    change, edge = (done - latent["samples"]).abs(), 16 // world.factor
    assert float(change[..., :edge].max()) < 1e-4 < 0.01 < float(change[..., edge:].max())
    if world.factor < 8:  # the latents are the pixels
        changed = (picture(pack, world, {"samples": done}) - images).abs()
        assert float(changed[:, :, :12].max()) < 1e-4 and float(changed[:, :, 20:].max()) > 0.1


def test_a_concept_of_the_same_world_mixes(pack: Any, world: Loaded, load_concept: Any, tmp_path: Path) -> None:
    concept = load_concept(write_tiny_concept(tmp_path / "concept.safetensors", world.factor))
    latent = blank(pack, world)

    def mixed(weight: float) -> Tensor:
        (terms,) = pack.run("GCFG_GuidanceTerm", positive=world.positive, weight=2.0)
        (terms,) = pack.run("GCFG_GuidanceTerm", terms=terms, model=concept, weight=weight)
        ours = pack.run(
            "GCFG_Sampler", model=world.model, conditioning=world.negative, terms=terms, latent_image=latent, **SAMPLER
        )[0]
        return ours["samples"]

    stock = sampled(pack, world, latent)["samples"]
    assert torch.equal(mixed(0.0), stock)
    assert norm_error(mixed(1.0), stock) > 1e-3


def test_a_concept_of_another_latent_space_is_refused(
    pack: Any, world: Loaded, load_concept: Any, tmp_path: Path
) -> None:
    other = {1: 2, 2: 4, 4: 8, 8: 1}[world.factor]
    concept = load_concept(write_tiny_concept(tmp_path / "concept.safetensors", other))
    (terms,) = pack.run("GCFG_GuidanceTerm", model=concept, weight=1.0)
    with pytest.raises(ValueError, match="does not share its latents"):
        pack.run(
            "GCFG_Sampler", model=world.model, conditioning=world.negative, terms=terms,
            latent_image=blank(pack, world), **SAMPLER,
        )  # fmt: skip


def test_loras_act_on_model_and_text(pack: Any, world: Loaded) -> None:
    keys = ("text_model.encoder.layers.0.mlp.fc1", "text_model.encoder.layers.1.self_attn.q_proj")
    before = world.positive[0][0]
    clip = world.clip.clone()
    generator = torch.Generator().manual_seed(0)
    state = clip.cond_stage_model.state_dict()
    patches = {}
    for key in keys:
        name = f"clip_l.transformer.{key}.weight"
        patches[name] = ("diff", (torch.randn(state[name].shape, generator=generator),))
    assert set(clip.add_patches(patches, 1.0)) == set(patches)
    changed = pack.run("CLIPTextEncode", clip=clip, text="a (red:1.3) face")[0][0][0]
    again = pack.run("CLIPTextEncode", clip=world.clip, text="a (red:1.3) face")[0][0][0]
    assert norm_error(changed, before) > 1e-3 and norm_error(again, before) < 1e-6


def test_the_vae_can_be_saved(pack: Any, world: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels have a marker without weights; ComfyUI's own loader knows the one of pixels one by one, and TAESD."""
    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    pack.run("VAESave", vae=world.vae, filename_prefix="vae")
    (path,) = tmp_path.glob("vae*.safetensors")
    assert (len(load_file(path)) == 1) == (world.factor < 8)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "vae", ([str(tmp_path)], {".safetensors"}))
    folder_paths.filename_list_cache.clear()
    if world.factor in (2, 4):
        with pytest.raises(RuntimeError, match="VAE is invalid"):
            pack.run("VAELoader", vae_name=path.name)
    else:
        (loaded,) = pack.run("VAELoader", vae_name=path.name)
        images = torch.rand(1, 16, 16, 3)
        assert torch.allclose(loaded.encode(images), world.vae.encode(images), atol=1e-2)  # half precision on GPUs
    folder_paths.filename_list_cache.clear()


def test_a_saved_model_is_read_again(
    pack: Any, world: Loaded, load_concept: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Save Model writes it as Load Concept Model reads it; no other loader knows a network of these sizes."""
    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    pack.run("ModelSave", model=world.model, filename_prefix="model")
    (path,) = tmp_path.glob("model*.safetensors")
    again = sampled(pack, world, blank(pack, world), model=load_concept(path))
    assert torch.equal(again["samples"], sampled(pack, world, blank(pack, world))["samples"])
