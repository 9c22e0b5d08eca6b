"""One step: what is drawn, how it is weighted, and that the loss is the mean over the whole batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from train_rigs.runs import losses, run_toy, settings, toy_base, toy_latent

from training.base.model import Condition
from training.base.noise_schedule import noise_schedule
from training.kinds.network import Network
from training.loop.step import Batch, Stepper, add_noise, draw_noise, noised, sample_losses
from training.optimizers import OPTIMIZERS, learning_rate
from training.processes.machine import open_machine
from training.seeds import normal
from training.settings.config import LossConfig
from training.settings.read import run_config

CPU = torch.device("cpu")


def batch(count: int, first: int = 0) -> Batch:
    slots = range(first, first + count)
    return Batch(torch.stack([toy_latent(i) for i in slots]), [""] * count, list(slots))


class Line(nn.Module):
    """Predicts a * x: the gradient of its loss is a closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor, t: Tensor, captions: object, time_ids: object) -> Tensor:
        return self.a * x


def test_what_is_drawn_depends_on_the_slot_alone() -> None:
    schedule, loss = noise_schedule(), LossConfig(noise_offset=0.1)
    whole = add_noise(batch(6), schedule, loss, 1, 7, CPU)
    parts = [add_noise(batch(2, first), schedule, loss, 1, 7, CPU) for first in (0, 2, 4)]
    assert torch.equal(whole.x, torch.cat([p.x for p in parts]))
    assert torch.equal(whole.t, torch.cat([p.t for p in parts]))
    later = add_noise(batch(6), schedule, loss, 1, 8, CPU)
    assert not torch.equal(whole.t, later.t) and not torch.equal(whole.target, later.target)


def test_timesteps_cover_the_schedule_evenly() -> None:
    drawn = torch.cat([add_noise(batch(8), noise_schedule(), LossConfig(), 0, s, CPU).t for s in range(250)])
    assert drawn.min() >= 0 and drawn.max() <= 999
    counts = torch.histc(drawn.float(), 4, 0, 1000)
    assert (counts - 500).abs().max() < 80


def test_the_noise_offset_moves_whole_channels() -> None:
    plain, moved = draw_noise((4, 8, 8), 0.0, 3, 4, 5), draw_noise((4, 8, 8), 0.2, 3, 4, 5)
    assert torch.allclose(moved - plain, (0.2 * normal((4, 1, 1), 3, "offset", 4, 5)).expand(4, 8, 8), atol=1e-6)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("gamma", [1.0, 5.0, None])
def test_losses_carry_min_snr_weights(prediction: str, gamma: float | None) -> None:
    schedule, t = noise_schedule(prediction_type=prediction), torch.tensor([1, 100, 500, 999])
    x0, noise = batch(4).latents, normal((4, 4, 8, 8), "n")
    found = sample_losses(Line(), batch(4), noised(x0, noise, t, schedule, gamma))
    plain = sample_losses(Line(), batch(4), noised(x0, noise, t, schedule, None))
    snr = schedule.alphas_cumprod[t] / (1 - schedule.alphas_cumprod[t])
    if gamma is None:
        weight = torch.ones(4).double()
    else:  # arXiv 2303.09556, section 3.4
        weight = snr.clamp_max(gamma) / (snr if prediction == "epsilon" else snr + 1)
    assert torch.allclose(found, plain * weight.float(), rtol=1e-5)


def test_min_snr_is_finite_at_zero_terminal_snr() -> None:
    schedule = noise_schedule(prediction_type="v_prediction", zero_terminal_snr=True)
    answer = noised(batch(1).latents, normal((1, 4, 8, 8), "n"), torch.tensor([999]), schedule, 5.0)
    assert answer.weight.item() == 0.0 and torch.isfinite(answer.target).all()


@pytest.mark.parametrize("micro", [1, 2, 3, 4, 5])
def test_the_gradient_is_the_mean_over_the_batch_however_it_is_cut(micro: int) -> None:
    config = run_config(settings(Path("unused"), optimizer={"lr": 1e-3}))
    line, schedule, loss = Line(), noise_schedule(), LossConfig(min_snr_gamma=5.0)
    optimizer = OPTIMIZERS["adamw"].build(config.optimizer, line.parameters(), fused=False)
    accelerator = open_machine(config.loop)
    seen: dict[str, Any] = {}
    optimizer.register_step_pre_hook(lambda *_: seen.update(grad=line.a.grad.clone()))  # type: ignore[union-attr]
    stepper = Stepper(accelerator, line, optimizer, schedule, loss, 0, 5, micro, max_grad_norm=1e9)
    total, norm = stepper.run(batch(5), 3)
    answer = add_noise(batch(5), schedule, loss, 0, 3, CPU)
    error = 0.3 * answer.x - answer.target
    expected = (answer.weight * (2 * error * answer.x).flatten(1).mean(1)).mean()
    assert seen["grad"] == pytest.approx(expected.item(), rel=1e-5)
    assert norm.item() == pytest.approx(abs(expected.item()), rel=1e-5)
    assert total.item() == pytest.approx((answer.weight * error.square().flatten(1).mean(1)).mean().item(), rel=1e-5)


def test_long_gradients_are_clipped(tmp_path: Path) -> None:
    trainer = run_toy(tmp_path, loop={"steps": 1}, optimizer={"max_grad_norm": 1e-3})
    moment = next(iter(trainer.optimizer.state.values()))["exp_avg"]
    whole = sum(state["exp_avg"].square().sum() for state in trainer.optimizer.state.values()) ** 0.5
    assert moment.isfinite().all() and whole.item() == pytest.approx(1e-4, rel=1e-3)  # (1 - beta_1) * norm


def test_the_loss_falls(tmp_path: Path) -> None:
    run_toy(tmp_path, loop={"steps": 60, "batch_size": 4}, record={"save_every": 1000}, optimizer={"lr": 2e-3})
    found = losses(tmp_path)
    assert sum(found[s] for s in range(51, 61)) < 0.6 * sum(found[s] for s in range(1, 11))


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_rate_warms_up_and_follows_its_schedule(schedule: str) -> None:
    config = run_config(
        settings(Path("x"), optimizer={"lr": 1.0, "warmup_steps": 4, "lr_schedule": schedule})
    ).optimizer
    rates = [learning_rate(config, step, 24) for step in range(24)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4] == 1.0
    assert rates[14] == pytest.approx(1.0 if schedule == "constant" else 0.5)


class Recorder(nn.Module):
    """Stands for a UNet and keeps what it was told."""

    def forward(self, x: Tensor, t: Tensor, **told: Any) -> tuple[Tensor]:
        self.told = told
        return (x,)


class Words:
    """Encodes a caption as its length."""

    def __init__(self, pooled: bool) -> None:
        self.pooled = pooled

    def encode(self, captions: list[str]) -> Condition:
        lengths = torch.tensor([[float(len(caption))] for caption in captions])
        return Condition(lengths[:, None], lengths if self.pooled else None)


NULL_SDXL = Condition(torch.zeros(1, 1, 1), torch.full((1, 1), 7.0), torch.arange(6.0)[None])


def test_a_null_text_network_is_told_its_constants() -> None:
    unet = Recorder()
    Network(unet, NULL_SDXL)(torch.zeros(2, 1, 1, 1), torch.zeros(2), ["a", "b"], torch.ones(2, 6))
    assert unet.told["encoder_hidden_states"] is None
    assert unet.told["added_cond_kwargs"]["text_embeds"].tolist() == [[7.0], [7.0]]
    assert unet.told["added_cond_kwargs"]["time_ids"].tolist() == [list(range(6))] * 2


def test_a_text_network_is_told_captions_and_sizes() -> None:
    unet = Recorder()
    Network(unet, NULL_SDXL, Words(True), null_text=False)(
        torch.zeros(2, 1, 1, 1), torch.zeros(2), ["a", "long"], torch.ones(2, 6)
    )
    assert unet.told["encoder_hidden_states"].flatten().tolist() == [1.0, 4.0]
    assert unet.told["added_cond_kwargs"]["text_embeds"].flatten().tolist() == [1.0, 4.0]
    assert unet.told["added_cond_kwargs"]["time_ids"].tolist() == [[1.0] * 6] * 2


def test_a_text_network_without_captions_is_told_the_empty_prompt() -> None:
    unet, base = Recorder(), toy_base()
    Network(unet, base.null, null_text=False)(torch.zeros(3, 4, 8, 8), torch.zeros(3), [""] * 3, None)
    assert torch.equal(unet.told["encoder_hidden_states"], base.null.hidden_states.expand(3, -1, -1))
    assert "added_cond_kwargs" not in unet.told
