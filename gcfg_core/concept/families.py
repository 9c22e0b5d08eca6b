"""The families of networks that a concept or a base can be of, each one object that answers every question.

A new family is an entry of `FAMILIES`. One whose network is another than Stable Diffusion's UNet also brings a
`Network`: its layout, its tensors, and how its text attention becomes constants. What only one side needs to know
stands in a table of that side, by the same names: text encoders of a checkpoint in training/base/single_file_text.py,
ComfyUI's models in nodes/loading/family_models.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor, nn

from ..errors import ConceptFileError
from .null_text import remove_text_attention
from .prediction_markers import marked_prediction
from .unet_configs import CONFIGS
from .unet_layout import UNetLayout, unet_layout
from .unet_tensors import Shapes, tensor_shapes

NORM1_STD_OF_V = 0.09  # a v-prediction SD2 model's last norm1.bias spreads more than this, an epsilon one's less
Answer = TypeVar("Answer")
CUSTOM = "custom"  # the architecture of a network that is none of the public ones


@dataclass(frozen=True)
class Network:
    """A kind of network, which families may share.

    Attributes:
        diffusers: name of the class in diffusers.
        is_of: whether a configuration is of this kind; the last of `NETWORKS` takes all, and refuses by name.
        layout: reads a configuration; ConceptFileError where it is none of this kind.
        shapes: every tensor of a layout by diffusers' names, null-text or not.
        remove_text: puts a constant into the place of every layer that reads text.
        halvings: how often a layout halves the sides of its latents.
    """

    diffusers: str
    is_of: Callable[[Mapping[str, Any]], bool]
    layout: Callable[[Mapping[str, Any]], UNetLayout]
    shapes: Callable[[UNetLayout, bool], Shapes]
    remove_text: Callable[..., nn.Module]
    halvings: Callable[[UNetLayout], int]


@dataclass(frozen=True)
class Family:
    """A family of networks, of any size.

    Attributes:
        name: as files and messages have it.
        network: the kind of network.
        is_built_like: whether a layout is of this family.
        config: the public model's own configuration, so that nothing has to be asked of a model hub.
        latent_format: name of the class in comfy.latent_formats.
        latent_scale: factor of latents whose VAE has no configuration.
        resolution: pixels of a side where the configuration names no size.
        zero_pad: the first text encoder pads with 0 where no tokenizer says otherwise.
        modelspec: ModelSpec's names of the public models, by what they predict.
        unmarked_prediction: what a network predicts whose file does not say it.
    """

    name: str
    network: Network
    is_built_like: Callable[[UNetLayout], bool]
    config: Mapping[str, Any]
    latent_format: str
    latent_scale: float
    resolution: int
    zero_pad: bool
    modelspec: Mapping[str, str]
    unmarked_prediction: Callable[[UNetLayout, Mapping[str, Tensor]], str]


def _sd2_prediction(layout: UNetLayout, tensors: Mapping[str, Tensor]) -> str:
    """By the spread of the last transformer's first norm, as in ComfyUI."""
    if layout.in_channels != 4:
        return "epsilon"
    depths = layout.up_depths
    bias = tensors.get(f"up_blocks.{len(depths) - 1}.attentions.{len(depths[-1]) - 1}.transformer_blocks.0.norm1.bias")
    wide = bias is not None and float(bias.float().std(unbiased=False)) > NORM1_STD_OF_V
    return "v_prediction" if wide else "epsilon"


UNET = Network(
    diffusers="UNet2DConditionModel",
    is_of=lambda config: True,
    layout=unet_layout,
    shapes=tensor_shapes,
    remove_text=remove_text_attention,
    halvings=lambda layout: len(layout.channels) - 1,
)
NETWORKS = (UNET,)
SDXL = Family(
    name="sdxl",
    network=UNET,
    is_built_like=lambda layout: layout.added_dim is not None,
    config=CONFIGS["sdxl"],
    latent_format="SDXL",
    latent_scale=0.13025,
    resolution=1024,
    zero_pad=False,
    modelspec={"epsilon": "stable-diffusion-xl-v1-base"},
    unmarked_prediction=lambda layout, tensors: "epsilon",
)
SD2 = Family(
    name="sd2",
    network=UNET,
    is_built_like=lambda layout: layout.added_dim is None and layout.linear_projection,
    config=CONFIGS["sd2"],
    latent_format="SD15",
    latent_scale=0.18215,
    resolution=768,
    zero_pad=True,
    modelspec={"epsilon": "stable-diffusion-v2-512", "v_prediction": "stable-diffusion-v2-768-v"},
    unmarked_prediction=_sd2_prediction,
)
SD15 = Family(
    name="sd15",
    network=UNET,
    is_built_like=lambda layout: layout.added_dim is None and not layout.linear_projection,
    config=CONFIGS["sd15"],
    latent_format="SD15",
    latent_scale=0.18215,
    resolution=512,
    zero_pad=False,
    modelspec={"epsilon": "stable-diffusion-v1"},
    unmarked_prediction=lambda layout, tensors: "epsilon",
)
FAMILIES: dict[str, Family] = {family.name: family for family in (SD15, SD2, SDXL)}
ARCHITECTURES = (*FAMILIES, CUSTOM)


def of_each_family(table: dict[str, Answer]) -> dict[str, Answer]:
    """A table with an answer for each family, as it is.

    Raises:
        TypeError: an answer is missing, or of no family.
    """
    odd = sorted(table.keys() ^ FAMILIES.keys())
    if odd:
        raise TypeError(f"families: expected an answer for each of {', '.join(FAMILIES)}, got a difference at {odd[0]}")
    return table


def network_of(config: Mapping[str, Any]) -> Network:
    """The kind of network that a diffusers configuration describes."""
    return next(network for network in NETWORKS if network.is_of(config))


def family_of(config: Mapping[str, Any]) -> Family:
    """The family that a network of any size is built like.

    Raises:
        ConceptFileError: the configuration describes no network that is known.
    """
    network = network_of(config)
    layout = network.layout(config)
    return next(one for one in FAMILIES.values() if one.network is network and one.is_built_like(layout))


def layout_of(config: Mapping[str, Any]) -> UNetLayout:
    """Everything that decides the tensors of a network.

    Raises:
        ConceptFileError: the configuration describes no network that is known.
    """
    return network_of(config).layout(config)


def shapes_of(config: Mapping[str, Any], null_text: bool) -> Shapes:
    """Every tensor of a network by diffusers' names, null-text or not.

    Raises:
        ConceptFileError: the configuration describes no network that is known.
    """
    network = network_of(config)
    return network.shapes(network.layout(config), null_text)


def architecture_of(config: Mapping[str, Any]) -> str:
    """The name of the family whose public network this is exactly, or "custom"."""
    layout = layout_of(config)
    return next((name for name, family in FAMILIES.items() if family.network.layout(family.config) == layout), CUSTOM)


def guess_prediction_type(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> str:
    """ "epsilon" or "v_prediction" of a bare state dict.

    Marker tensors and ModelSpec's metadata decide; without any, the family's `unmarked_prediction`.

    Raises:
        ConceptFileError: the metadata names another kind of prediction.
    """
    marked = marked_prediction(tensors, metadata or {})
    if marked is None:
        return family_of(config).unmarked_prediction(layout_of(config), tensors)
    if marked not in ("epsilon", "v_prediction"):
        raise ConceptFileError("prediction type", "epsilon or v_prediction", repr(marked),
                               "Models of that kind are not supported.")  # fmt: skip
    return marked
