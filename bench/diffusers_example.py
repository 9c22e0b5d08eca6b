"""The loop of diffusers' text-to-image example trainer, from diffusers' own pieces, for comparison with our trainer.

In every step it decodes the pictures, encodes them with the VAE, encodes the captions with the text encoder, and trains
the UNet on the noise; AdamW, gradient clipping and an average of the weights as in the example.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import StableDiffusionPipeline
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, Dataset

CAPTION = "a picture"


class Pictures(Dataset):
    """A data set that decodes, resizes, crops, mirrors and tokenizes a picture at every access."""

    def __init__(self, folder: Path, side: int, tokenizer: Any) -> None:
        self.paths, self.side = sorted(folder.glob("*.png")), side
        given = tokenizer(CAPTION, max_length=77, padding="max_length", truncation=True, return_tensors="pt")
        self.ids = given.input_ids[0]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        picture = Image.open(self.paths[index]).convert("RGB").resize((self.side, self.side), Image.Resampling.LANCZOS)
        pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 127.5 - 1.0
        return {"pixels": pixels.flip(-1) if torch.rand(()) < 0.5 else pixels, "ids": self.ids}


class ExampleLoop:
    """The example's training loop.

    Args:
        unet: to train, on its own; a null-text UNet ignores the captions, which are then not encoded.
        pipeline: the base's other parts.
    """

    def __init__(
        self, unet: Any, pipeline: StableDiffusionPipeline, folder: Path, side: int, batch: int, lr: float, text: bool
    ) -> None:
        self.accelerator, self.text = Accelerator(cpu=True), text
        self.vae, self.encoder, self.noise = pipeline.vae, pipeline.text_encoder, pipeline.scheduler
        for module in (self.vae, self.encoder):
            module.requires_grad_(False)
        optimizer = torch.optim.AdamW(unet.parameters(), lr=lr, weight_decay=1e-2)
        loader = DataLoader(Pictures(folder, side, pipeline.tokenizer), batch, shuffle=True, drop_last=True)
        self.ema = EMAModel(unet.parameters(), model_cls=type(unet), model_config=unet.config)
        self.unet, self.optimizer, self.loader = self.accelerator.prepare(unet.train(), optimizer, loader)
        self.batches: Iterator[dict[str, Tensor]] = itertools.chain.from_iterable(itertools.repeat(self.loader))

    def step(self) -> float:
        """Train on one batch; return the loss."""
        batch = next(self.batches)
        with torch.no_grad():
            latents = self.vae.encode(batch["pixels"]).latent_dist.sample() * self.vae.config.scaling_factor
            states = self.encoder(batch["ids"])[0] if self.text else None
        noise = torch.randn_like(latents)
        timesteps = torch.randint(0, self.noise.config.num_train_timesteps, (len(latents),))
        prediction = self.unet(self.noise.add_noise(latents, noise, timesteps), timesteps, states).sample
        loss = mse_loss(prediction.float(), noise.float())
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.step(self.unet.parameters())
        return float(loss.detach())
