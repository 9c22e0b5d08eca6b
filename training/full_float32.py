"""float32 as it is written, on GPUs too: what is measured or encoded once and kept for all later runs is not rounded to
TensorFloat32's 10 bits, whatever the training itself does."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_float32() -> Iterator[None]:
    """While the block runs, neither matrix products nor convolutions use TensorFloat32."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
