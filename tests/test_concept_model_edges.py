"""Concept models off the beaten track: inpainting, fp8 products, and networks that ComfyUI's UNet cannot express."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.sd
import folder_paths
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from gcfg_core.concept.families import layout_of
from rigs.checkpoints import tiny_vae
from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.null_text import SMALL, as_denoised, authors_unet, concept_path
from rigs.probe import denoised, guided
from rigs.tiny import load_tiny, tiny_cond, tiny_latent, tiny_unet

LIMIT = 1e-5
SD15, SD2 = SMALL["sd15"], SMALL["sd2"]
INPAINT = {**SD15, "in_channels": 9}
"""What SD1.5's inpainting network takes: the latent, one channel of mask, the masked picture's latent."""


def inpaint_conds(pack: Any, mask: Tensor) -> tuple[list, list, dict[str, Tensor]]:
    """InpaintModelConditioning's positive, negative and LATENT for a random picture."""
    (vae,) = pack.run("VAELoader", vae_name=tiny_vae("sd15").name)
    pixels = torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(4))
    return pack.run(
        "InpaintModelConditioning", positive=tiny_cond("sd15", 1), negative=tiny_cond("sd15", 2), vae=vae,
        pixels=pixels, mask=mask, noise_mask=False,
    )  # fmt: skip


class TestInpainting:
    @pytest.fixture(autouse=True)
    def _vae_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tiny_vae("sd15")
        monkeypatch.setitem(folder_paths.folder_names_and_paths, "vae", ([str(path.parent)], {".safetensors"}))
        folder_paths.filename_list_cache.clear()

    @pytest.fixture
    def mask(self) -> Tensor:
        mask = torch.zeros(1, 128, 128)
        mask[:, 32:96, 16:80] = 1.0
        return mask

    @staticmethod
    def by_hand(path: Path, model: Any, x: Tensor, s: float, mask: Tensor, picture: Tensor) -> Tensor:
        """The same file in diffusers, asked with [x / sqrt(s^2 + 1), mask, masked picture]."""
        twin = authors_unet(INPAINT, load_file(path))
        text = torch.zeros(x.shape[0], 1, INPAINT["cross_attention_dim"])
        more = [part.expand(x.shape[0], -1, -1, -1) for part in (mask, picture)]
        sigma = torch.full([x.shape[0]], s)
        return as_denoised(
            lambda scaled, t: twin(torch.cat([scaled, *more], dim=1), t, text).sample, model, x, sigma, False
        )

    def test_mask_and_masked_picture_reach_the_network(
        self, pack: Any, load_concept: Callable, tmp_path: Path, mask: Tensor
    ) -> None:
        path = concept_path(tmp_path, INPAINT)
        model = load_concept(path)
        positive, _, _ = inpaint_conds(pack, mask)
        picture = model.model.process_latent_in(positive[0][1]["concat_latent_image"])
        small = torch.zeros(1, 1, 16, 16)
        small[..., 4:12, 2:10] = 1.0
        for x, s in zip(points(batch=2, size=16), SIGMAS, strict=True):
            expected = self.by_hand(path, model.model, x, s, small, picture)
            assert relative_error([denoised(model, positive, x, s) - x], [expected - x]) <= 1e-4

    def test_without_inpaint_conditioning_all_is_masked(self, load_concept: Callable, tmp_path: Path) -> None:
        """A mask of ones and the latent of a grey picture, as for ComfyUI's own inpainting models."""
        path = concept_path(tmp_path, INPAINT)
        model, x = load_concept(path), points(size=16)[1]
        grey = torch.tensor([0.8223, -0.6876, 0.6364, 0.1380]).view(1, 4, 1, 1).expand(1, 4, 16, 16)
        expected = self.by_hand(path, model.model, x, 3.0, torch.ones(1, 1, 16, 16), grey)
        (ours,) = guided(cfg(model, tiny_cond("sd15"), tiny_cond("sd15"), 1.0), [x], [3.0])
        assert relative_error([ours - x], [expected - x]) <= 1e-4

    def test_ksampler_samples_with_it(self, pack: Any, load_concept: Callable, tmp_path: Path, mask: Tensor) -> None:
        model = load_concept(concept_path(tmp_path, INPAINT))

        def sample(mask: Tensor) -> Tensor:
            positive, negative, latent = inpaint_conds(pack, mask)
            return pack.run("KSampler", model=model, positive=positive, negative=negative, latent_image=latent, seed=1,
                            steps=2, sampler_name="euler", scheduler="normal", denoise=1.0)[0]["samples"]  # fmt: skip

        result = sample(mask)
        assert result.shape == (1, 4, 16, 16) and torch.isfinite(result).all()
        assert not torch.equal(result, sample(1.0 - mask))

    def test_as_a_term_beside_a_base_without_it(
        self, pack: Any, load_concept: Callable, tmp_path: Path, mask: Tensor
    ) -> None:
        concept, base, uncond = load_concept(concept_path(tmp_path, INPAINT)), load_tiny("sd15"), tiny_cond("sd15", 2)
        positive, _, _ = inpaint_conds(pack, mask)
        xs = points(size=16)
        ours = guided(gcfg(pack, base, uncond, {"model": concept, "positive": positive, "weight": 2.5}), xs, SIGMAS)
        expected = []
        for x, s in zip(xs, SIGMAS, strict=True):
            zero = denoised(base, uncond, x, s)
            expected.append(zero + 2.5 * (denoised(concept, positive, x, s) - zero))
        assert relative_error(ours, expected) <= LIMIT


class TestFp8:
    """The options of Load Diffusion Model do to a concept what they do to any other model."""

    @staticmethod
    def layer(patcher: Any) -> Any:
        return patcher.model.diffusion_model.input_blocks[1][1].transformer_blocks[0].attn1.to_q

    @pytest.mark.parametrize("device_can", [True, False], ids=["a device with fp8", "a device without"])
    @pytest.mark.parametrize("weight_dtype", ["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"])
    def test_layers_are_those_of_any_other_model(
        self, pack: Any, load_concept: Callable, tmp_path: Path, weight_dtype: str, device_can: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """``device_can`` is what ComfyUI's --supports-fp8-compute says."""
        monkeypatch.setattr(comfy.model_management, "SUPPORT_FP8_OPS", device_can)
        ours = load_concept(concept_path(tmp_path, SD15), weight_dtype)
        options = pack.module("nodes.loading.concept_loader").WEIGHT_DTYPES[weight_dtype]
        theirs = comfy.sd.load_diffusion_model(str(tiny_unet("sd15")), model_options=dict(options))
        one, other = self.layer(ours), self.layer(theirs)
        assert type(one).__qualname__ == type(other).__qualname__
        assert one.weight.dtype == other.weight.dtype
        assert ours.model.manual_cast_dtype == theirs.model.manual_cast_dtype
        fast = weight_dtype == "fp8_e4m3fn_fast"
        assert ours.model.model_config.optimizations["fp8"] is fast
        assert ("fp8_ops" in type(one).__qualname__) == (fast and device_can)

    def test_is_no_ones_but_this_models(self, load_concept: Callable, tmp_path: Path) -> None:
        load_concept(concept_path(tmp_path, SD15), "fp8_e4m3fn_fast")
        assert load_tiny("sd15").model.model_config.optimizations["fp8"] is False
        assert load_concept(concept_path(tmp_path, SD15)).model.model_config.optimizations["fp8"] is False

    def test_a_device_with_fp8_still_samples(
        self, pack: Any, load_concept: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(comfy.model_management, "SUPPORT_FP8_OPS", True)
        path = concept_path(tmp_path, SD15)
        results = []
        for weight_dtype in ("fp8_e4m3fn_fast", "fp8_e4m3fn"):
            (latent,) = pack.run(
                "KSampler", model=load_concept(path, weight_dtype), positive=tiny_cond("sd15"),
                negative=tiny_cond("sd15", 1), latent_image=tiny_latent("sd15"), seed=1, steps=2, cfg=1.0,
                sampler_name="euler", scheduler="normal", denoise=1.0,
            )  # fmt: skip
            results.append([latent["samples"]])
        print(f"fp8 products: relative error {relative_error(*results):.1e}")
        assert relative_error(*results) < 0.05, "the same weights, up to what fp8 activations lose"


class TestRefusals:
    """One line that names the key, what was expected, what was found, and what to do."""

    @pytest.mark.parametrize(
        ("channels", "latent_format", "expected"),
        [
            (5, "", "the 4 channels of latent format SD15, got 5"),
            (8, "SD15", "the 4 channels of latent format SD15, got 8"),
            (4, "Flux", "the 16 channels of latent format Flux, got 4"),
            (9, "SD3", "the 16 channels of latent format SD3, got 9"),
        ],
    )
    def test_channels_that_are_not_the_latents(
        self, pack: Any, load_concept: Callable, tmp_path: Path, channels: int, latent_format: str, expected: str
    ) -> None:
        path = concept_path(tmp_path, {**SD15, "in_channels": channels}, latent_format=latent_format)
        with pytest.raises(self.error(pack), match=f"^unet_config.in_channels: expected {expected}") as caught:
            load_concept(path)
        assert "Correct gcfg.latent_format in the file's metadata" in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["SD99", "torch", "sd15", "LatentFormat", "__name__"])
    def test_latent_formats_that_this_comfyui_lacks(
        self, pack: Any, load_concept: Callable, tmp_path: Path, name: str
    ) -> None:
        path = concept_path(tmp_path, SD15, latent_format=name)
        message = f"^gcfg.latent_format: expected a latent format of this ComfyUI.*got '{name}'. Update ComfyUI"
        with pytest.raises(self.error(pack), match=message) as caught:
            load_concept(path)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"block_out_channels": [32, 64, 96, 128], "attention_head_dim": 8}, None),
            ({"block_out_channels": [64, 96, 128, 128], "attention_head_dim": 4}, None),
            ({"block_out_channels": [128, 64, 128, 128], "attention_head_dim": 4}, None),
            ({"layers_per_block": [1, 1, 1, 1]}, None),
            (
                {"layers_per_block": [2, 2, 1, 2]},
                r"unet_config.layers_per_block: expected the same number for all levels, got \[2, 2, 1, 2\]",
            ),
            ({"attention_head_dim": [4, 4, 4, 4]}, None),
            ({"attention_head_dim": [2, 4, 8, 8]}, None),
            ({"num_attention_heads": [1, 2, 4, 4]}, None),
            (
                {"attention_head_dim": [2, 2, 4, 4]},
                r"unet_config.attention_head_dim: expected one number of heads, or one width of a head, on all levels, "
                r"got \[2, 2, 4, 4\]",
            ),
            (
                {"num_attention_heads": [1, 4, 4, 4]},
                r"unet_config.attention_head_dim: .* got \[1, 4, 4, 4\]",
            ),
        ],
    )
    def test_networks_that_comfyuis_unet_cannot_express(
        self, pack: Any, change: dict[str, Any], message: str | None
    ) -> None:
        """SD2's widths are 32, 64, 128, 128; None: it can."""
        build = pack.module("nodes.loading.unet_config").host_unet_config
        layout = layout_of({**SD2, **change})
        if message is None:
            config = build(layout)
            width, heads = config["num_head_channels"], config["num_heads"]
            found = [heads if width == -1 else channels // width for channels in layout.channels]
            assert found == list(layout.heads) and (width == -1) != (heads == -1)
            assert [config["model_channels"] * n for n in config["channel_mult"]] == list(layout.channels)
            return
        with pytest.raises(self.error(pack), match=f"^{message}[.] ComfyUI's ") as caught:
            build(layout)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("change", "fields", "key"),
        [
            ({"layers_per_block": [1, 2]}, {}, "unet_config.layers_per_block"),
            ({"attention_head_dim": [1, 4]}, {}, "unet_config.attention_head_dim"),
            ({"in_channels": 5}, {}, "unet_config.in_channels"),
            ({}, {"latent_format": "SD99"}, "gcfg.latent_format"),
        ],
    )
    def test_the_node_names_its_input(
        self, pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, fields: dict, key: str
    ) -> None:
        small = {
            **SD15, "block_out_channels": [32, 64], "layers_per_block": 1, "attention_head_dim": 4,
            "down_block_types": ["CrossAttnDownBlock2D"] * 2, "up_block_types": ["CrossAttnUpBlock2D"] * 2,
        }  # fmt: skip
        path = concept_path(tmp_path, {**small, **change}, "odd", **fields)
        extensions = folder_paths.folder_names_and_paths["gcfg_concepts"][1]
        monkeypatch.setitem(folder_paths.folder_names_and_paths, "gcfg_concepts", ([str(tmp_path)], extensions))
        folder_paths.filename_list_cache.clear()
        with pytest.raises(ValueError, match=f"^Load Concept Model, input concept_name: {key}: expected"):
            pack.run("GCFG_LoadConceptModel", concept_name=path.name)

    @staticmethod
    def error(pack: Any) -> type[ValueError]:
        return pack.module("gcfg_core.errors").ConceptFileError
