"""The families of networks for concepts and bases, each an object that answers every question.

A new family is an entry of `FAMILIES`. A family with another network than Stable Diffusion's UNet also needs a
`Network`: its layout, its tensors, and how its text attention becomes constants. Facts that only one side needs are in
a table of that side, under the same names: text encoders of a checkpoint in training/base/single_file_text.py,
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
CUSTOM = "custom"  # the architecture of a network that is not a public model's


@dataclass(frozen=True)
class Network:
    """A kind of network, which families may share.

    Attributes:
        diffusers: name of the class in diffusers.
        is_of: True if a configuration is of this kind; the last of `NETWORKS` accepts all, and refuses by name.
        layout: reads a configuration; ConceptFileError if it is not of this kind.
        shapes: every tensor of a layout in diffusers' names, with text attention or null-text.
        remove_text: replaces every layer that reads text by a constant.
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
        name: in files and messages.
        network: the kind of network.
        is_built_like: True if a layout is of this family.
        config: the public model's own configuration, so that no model hub is needed.
        latent_format: name of the class in comfy.latent_formats.
        latent_scale: factor of latents whose VAE has no configuration.
        resolution: pixels of a side if the configuration names no size.
        zero_pad: the first text encoder pads with 0 unless a tokenizer says otherwise.
        modelspec: ModelSpec's names of the public models, by prediction type.
        unmarked_prediction: returns the prediction type of a network whose file does not name it.
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
    """Decide by the spread of the last transformer's first norm, as in ComfyUI."""
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
    """Return the table itself, after a check that it has an answer for each family.

    Raises:
        TypeError: an answer is missing, or its family does not exist.
    """
    odd = sorted(table.keys() ^ FAMILIES.keys())
    if odd:
        raise TypeError(f"families: expected an answer for each of {', '.join(FAMILIES)}, got a difference at {odd[0]}")
    return table


def network_of(config: Mapping[str, Any]) -> Network:
    """Return the kind of network that a diffusers configuration describes."""
    return next(network for network in NETWORKS if network.is_of(config))


def family_of(config: Mapping[str, Any]) -> Family:
    """Return the family whose layout a network of any size has.

    Raises:
        ConceptFileError: the configuration describes an unknown network.
    """
    network = network_of(config)
    layout = network.layout(config)
    return next(one for one in FAMILIES.values() if one.network is network and one.is_built_like(layout))


def layout_of(config: Mapping[str, Any]) -> UNetLayout:
    """Return everything that decides the tensors of a network.

    Raises:
        ConceptFileError: the configuration describes an unknown network.
    """
    return network_of(config).layout(config)


def shapes_of(config: Mapping[str, Any], null_text: bool) -> Shapes:
    """Return the shape of every tensor of a network, by its name in diffusers.

    Raises:
        ConceptFileError: the configuration describes an unknown network.
    """
    network = network_of(config)
    return network.shapes(network.layout(config), null_text)


def architecture_of(config: Mapping[str, Any]) -> str:
    """Name the family whose public network this is exactly, or return "custom"."""
    layout = layout_of(config)
    return next((name for name, family in FAMILIES.items() if family.network.layout(family.config) == layout), CUSTOM)


def guess_prediction_type(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> str:
    """Return the prediction type of a bare state dict: "epsilon" or "v_prediction".

    Marker tensors decide first, then ModelSpec's metadata, then the family's `unmarked_prediction`.

    Raises:
        ConceptFileError: the metadata names another prediction type.
    """
    marked = marked_prediction(tensors, metadata or {})
    if marked is None:
        return family_of(config).unmarked_prediction(layout_of(config), tensors)
    if marked not in ("epsilon", "v_prediction"):
        raise ConceptFileError("prediction type", "epsilon or v_prediction", repr(marked),
                               "Models of that kind are not supported.")  # fmt: skip
    return marked
