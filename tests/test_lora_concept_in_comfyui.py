"""A LoRA concept on its base MODEL is the merged concept, and the base stays what it was."""

from pathlib import Path
from typing import Any, NamedTuple

import comfy.model_management
import comfy.sd
import folder_paths
import nodes
import pytest
import torch

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import write_concept
from gcfg_core.concept.families import layout_of
from gcfg_core.concept.lora import DOWN, UP, LoraConcept, merge_lora
from gcfg_core.concept.lora_file import read_lora_concept, write_lora_concept
from gcfg_core.concept.null_text import FEATURE
from gcfg_core.concept.unet_tensors import tensor_shapes
from rigs.concepts import CONFIGS
from rigs.graphs import SIGMAS, gcfg, norm_error, points, relative_error
from rigs.lora import with_lora
from rigs.lora_concepts import lora_on_every_layer, with_factors, write_as_version_0_1_0
from rigs.null_text import SMALL, sdxl_constants, text_unet
from rigs.probe import denoised, guided
from rigs.quantized import FORMS, FOUR_BIT, quantized_state
from rigs.tiny import load_tiny, unet_state

RANK, ALPHA = 4, 6.0
ADAPTED = ("attn1.to_q", "attn1.to_out.0", "ff.net.2", "conv1", "proj_in", "time_emb_proj")


class Files(NamedTuple):
    """A text UNet, a LoRA concept for it, and the null-text UNet that both make together."""

    base: Path
    lora: Path
    merged: Path


def lora_concept(config: dict, **fields: Any) -> LoraConcept:
    shapes = tensor_shapes(layout_of(config), null_text=True)
    draw = torch.Generator().manual_seed(4)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draw) * 0.1

    factors = {}
    for key, shape in shapes.items():
        layer = key.removesuffix(".weight")
        if layer != key and layer.endswith(ADAPTED):
            factors[layer + DOWN] = random(RANK, *shape[1:])
            factors[layer + UP] = random(shape[0], RANK, *[1] * (len(shape) - 2))
    features = {key: random(*shape) for key, shape in shapes.items() if key.endswith(FEATURE)}
    return LoraConcept(factors, features, config, RANK, ALPHA, "the base", **constants_of(config), **fields)


def constants_of(config: dict) -> dict[str, torch.Tensor]:
    """SDXL's, by the names of a concept's fields."""
    if not config.get("addition_embed_type"):
        return {}
    return dict(zip(("text_embeds", "time_ids"), sdxl_constants(), strict=True))


@pytest.fixture(scope="module", params=list(SMALL))
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Files:
    config, folder = SMALL[request.param], tmp_path_factory.mktemp(request.param)
    made = Files(*(folder / f"{name}.safetensors" for name in Files._fields))
    weights, lora = text_unet(config).state_dict(), lora_concept(config)
    write_concept(made.base, Concept(tensors=weights, config=config, kind="unet"))
    write_lora_concept(made.lora, lora)
    write_concept(made.merged, merge_lora(lora, weights))
    return made


@pytest.fixture
def concept_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models/gcfg_concepts."""
    extensions = folder_paths.folder_names_and_paths["gcfg_concepts"][1]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "gcfg_concepts", ([str(tmp_path)], extensions))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path


@pytest.fixture
def load(pack: Any) -> Any:
    loader = pack.module("nodes.loading.concept_loader")
    return lambda path, base=None: loader.load_model_file(str(path), "default", base)


def cond(seed: int, model: Any) -> list:
    """Text that the base reads and a null-text model must not; with SDXL's pooled vector."""
    draw = torch.Generator().manual_seed(seed)
    width = model.model.model_config.unet_config["context_dim"]
    return [[torch.randn(1, 7, width, generator=draw), {"pooled_output": torch.randn(1, 1280, generator=draw)}]]


def test_alone_it_is_the_merged_concept(load: Any, files: Files) -> None:
    concept, merged = load(files.lora, load(files.base)), load(files.merged)
    for x, sigma in zip(points(), SIGMAS, strict=True):
        ours = [denoised(concept, cond(seed, concept), x, sigma) for seed in (1, 2)]
        assert torch.equal(*ours), "it reads the text"
        expected = denoised(merged, cond(3, merged), x, sigma)
        assert relative_error([ours[0] - x], [expected - x]) <= 1e-5


@pytest.mark.parametrize("node", ["LoraLoader", "LoraLoaderModelOnly"])
def test_for_comfyuis_own_loader_it_is_a_lora(
    load: Any,
    files: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    node: str,
) -> None:
    """T2: every layer is loaded, at alpha / rank, and nothing is left over."""
    base, config = load(files.base), read_lora_concept(files.lora).config
    lora = lora_on_every_layer(config, **constants_of(config))
    write_lora_concept(tmp_path / "every.safetensors", lora)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(tmp_path)], {".safetensors"}))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    if node == "LoraLoader":
        loaded = nodes.LoraLoader().load_lora(base, None, "every.safetensors", 1.0, 1.0)[0]
    else:
        loaded = nodes.LoraLoaderModelOnly().load_lora_model_only(base, "every.safetensors", 1.0)[0]
    assert len(loaded.patches) == len(lora.layers) and "not loaded" not in caplog.text.lower()
    weights = with_factors(lora, text_unet(config).state_dict())
    write_concept(tmp_path / "whole.safetensors", Concept(tensors=weights, config=config, kind="unet"))
    whole = load(tmp_path / "whole.safetensors")
    for x, sigma in zip(points(), SIGMAS, strict=True):
        ours, expected = (denoised(model, cond(1, base), x, sigma) - x for model in (loaded, whole))
        assert relative_error([ours], [expected]) <= 1e-5
        assert relative_error([denoised(base, cond(1, base), x, sigma) - x], [expected]) > 1e-2


def test_a_file_of_version_0_1_0_gives_the_same_model(load: Any, files: Files, tmp_path: Path) -> None:
    """T2: PEFT's names, the constants as tensors."""
    write_as_version_0_1_0(tmp_path / "old.safetensors", read_lora_concept(files.lora))
    old, new = load(tmp_path / "old.safetensors", load(files.base)), load(files.lora, load(files.base))
    x, sigma = points()[0], SIGMAS[0]
    assert torch.equal(denoised(old, cond(1, old), x, sigma), denoised(new, cond(1, new), x, sigma))


@pytest.mark.parametrize("where", ["term", "base"])
def test_beside_its_base_it_gives_the_numbers_of_separate_files(pack: Any, load: Any, files: Files, where: str) -> None:
    base = load(files.base)
    concept, texts = load(files.lora, base), [cond(seed, base) for seed in range(3)]
    assert concept.model is base.model

    def graph(first: Any, second: Any) -> list:
        one, other = (first, second) if where == "term" else (second, first)
        terms = {"model": other, "positive": texts[1], "weight": 2.0}, {"positive": texts[2], "weight": 3.0}
        return guided(gcfg(pack, one, texts[0], *terms), points(), SIGMAS)

    before = {name: value.clone() for name, value in base.model.state_dict().items()}
    ours = graph(base, concept)
    assert relative_error(ours, graph(load(files.base), load(files.merged))) <= 1e-5
    assert all(map(torch.equal, ours, graph(base, concept)))
    comfy.model_management.unload_all_models()
    after = base.model.state_dict()
    assert after.keys() == before.keys() and all(value.equal(after[name]) for name, value in before.items())


def test_other_nodes_find_all_parameters_of_the_base_while_it_is_loaded(load: Any, files: Files) -> None:
    """A LoRA put on the base patches its cross-attention, whatever was sampled last."""
    base = load(files.base)
    fresh = set(with_lora(base, 1).patches)
    concept = load(files.lora, base)
    denoised(concept, cond(1, base), points()[0], SIGMAS[0])
    assert set(with_lora(base, 1).patches) == fresh
    x, sigma = points()[0], SIGMAS[0]
    expected = denoised(with_lora(load(files.base), 1), cond(1, base), x, sigma)
    assert relative_error([denoised(with_lora(base, 1), cond(1, base), x, sigma)], [expected]) <= 1e-6


def test_a_patch_that_replaces_cross_attention_is_refused(load: Any, files: Files) -> None:
    concept = load(files.lora, load(files.base))
    for number in range(12):
        for name in ("input", "output", "middle"):
            concept.set_model_attn2_replace(lambda q, k, v, extra: q, name, number)
    with pytest.raises(RuntimeError, match=r"attn2\.to_q.*Put the patch on the base"):
        denoised(concept, cond(1, concept), points()[0], SIGMAS[0])


def test_without_its_base_the_node_says_what_to_connect(
    pack: Any, load: Any, files: Files, concept_folder: Path
) -> None:
    (concept_folder / "lora.safetensors").symlink_to(files.lora)
    with pytest.raises(ValueError, match=r"input base_model for lora.safetensors: .*LoRA concept.*\(the base\)"):
        pack.run("GCFG_LoadConceptModel", concept_name="lora.safetensors")
    (model,) = pack.run("GCFG_LoadConceptModel", concept_name="lora.safetensors", base_model=load(files.base))
    assert model.object_patches


def test_another_base_is_refused(load: Any, files: Files, tmp_path: Path) -> None:
    config = {**SMALL["sd15"], "layers_per_block": 1}
    write_concept(
        tmp_path / "o.safetensors", Concept(tensors=text_unet(config).state_dict(), config=config, kind="unet")
    )
    with pytest.raises(ValueError, match=r"base_model for lora.safetensors: .*the base.*another network"):
        load(files.lora, load(tmp_path / "o.safetensors"))


def test_a_base_of_another_prediction_is_refused(load: Any, tmp_path: Path) -> None:
    config = SMALL["sd2"]
    write_lora_concept(tmp_path / "lora.safetensors", lora_concept(config))
    base = Concept(tensors=text_unet(config).state_dict(), config=config, kind="unet", prediction_type="v_prediction")
    write_concept(tmp_path / "base.safetensors", base)
    with pytest.raises(ValueError, match="a model of epsilon, got a model of v-prediction"):
        load(tmp_path / "lora.safetensors", load(tmp_path / "base.safetensors"))


@pytest.mark.parametrize("form", FORMS)
def test_a_quantized_base_is_the_network_that_it_stores(pack: Any, load: Any, tmp_path: Path, form: str) -> None:
    """H8: what 4-bit forms store has another shape than the weight."""
    write_lora_concept(tmp_path / "lora.safetensors", lora_concept(CONFIGS["sd15"]))

    def base() -> Any:
        return comfy.sd.load_diffusion_model_state_dict(quantized_state(unet_state("sd15"), form, ".attn1"))

    shared = base()
    concept, x, sigma = load(tmp_path / "lora.safetensors", shared), points(size=16)[0], SIGMAS[0]
    ours = [denoised(concept, cond(seed, concept), x, sigma) for seed in (1, 2)]
    assert torch.equal(*ours), "it reads the text"
    plain = load_tiny("sd15")
    expected = denoised(load(tmp_path / "lora.safetensors", plain), cond(1, plain), x, sigma)
    without = denoised(plain, cond(1, plain), x, sigma)
    lost, changed = norm_error(ours[0] - x, expected - x), norm_error(without - x, expected - x)
    print(f"{form}: {lost:.1e} lost, the concept changes {changed:.1e}")
    assert lost < (0.2 if form in FOUR_BIT else 0.1) < changed

    def graph(one: Any, other: Any) -> list:
        term = {"model": other, "positive": cond(2, one), "weight": 2.0}
        return guided(gcfg(pack, one, cond(3, one), term), [x], [sigma])

    files = graph(base(), load(tmp_path / "lora.safetensors", base()))
    assert relative_error(graph(shared, concept), files) == 0.0
