"""The model files that the workflows name, with their addresses."""

from __future__ import annotations

from dataclasses import dataclass

HUB = "https://huggingface.co"


@dataclass(frozen=True)
class ModelFile:
    """A model file: its name in ComfyUI, its folder under models/, its address ("" if it is not public)."""

    name: str
    folder: str
    url: str = ""


def _hosted(repository: str, path: str, folder: str, name: str = "") -> ModelFile:
    return ModelFile(name or path.rsplit("/", 1)[-1], folder, f"{HUB}/{repository}/resolve/main/{path}")


_WAN = "Comfy-Org/Wan_2.1_ComfyUI_repackaged"

SD15 = _hosted("Comfy-Org/stable-diffusion-v1-5-archive", "v1-5-pruned-emaonly-fp16.safetensors", "checkpoints")
SD14_UNET = _hosted(
    "CompVis/stable-diffusion-v1-4",
    "unet/diffusion_pytorch_model.safetensors",
    "diffusion_models",
    "sd-v1-4-unet.safetensors",
)
DREAMSHAPER = _hosted("Lykon/DreamShaper", "DreamShaper_8_pruned.safetensors", "checkpoints")
SDXL = _hosted("stabilityai/stable-diffusion-xl-base-1.0", "sd_xl_base_1.0.safetensors", "checkpoints")
ANIMAGINE_XL = _hosted("cagliostrolab/animagine-xl-3.1", "animagine-xl-3.1.safetensors", "checkpoints")
SD35 = _hosted("Comfy-Org/stable-diffusion-3.5-fp8", "sd3.5_large_fp8_scaled.safetensors", "checkpoints")
WAN = _hosted(_WAN, "split_files/diffusion_models/wan2.1_t2v_1.3B_fp16.safetensors", "diffusion_models")
WAN_TEXT = _hosted(_WAN, "split_files/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors", "text_encoders")
WAN_VAE = _hosted(_WAN, "split_files/vae/wan_2.1_vae.safetensors", "vae")
CANNY = _hosted(
    "comfyanonymous/ControlNet-v1-1_fp16_safetensors", "control_v11p_sd15_canny_fp16.safetensors", "controlnet"
)
BLINDBOX_LORA = ModelFile(
    "blindbox_v1_mix.safetensors",
    "loras",
    "https://civitai.com/api/download/models/32988?type=Model&format=SafeTensor&size=full&fp=fp16",
)
CONCEPT = ModelFile("concept_sd15_null_text.safetensors", "gcfg_concepts")
SECOND_CONCEPT = ModelFile("concept_2_sd15_null_text.safetensors", "gcfg_concepts")
