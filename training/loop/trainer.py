"""The training loop, with logging, checkpoints, validation and samples between the steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..base.model import Base
from ..kinds.network import Network
from ..optimizers import learning_rate, optimizer_of, set_learning_rate
from ..processes.agreement import agree
from ..processes.machine import global_batch
from ..settings.config import RunConfig
from ..state.best import best_kept
from ..state.checkpoint import (
    CHECKPOINTS,
    REVIEW_PENDING,
    Checkpoint,
    is_review_pending,
    mark_reviewed,
    read_checkpoint,
    recover,
    write_checkpoint,
)
from ..state.ema import Averages, first_average, profiles
from ..state.gather import gather, restore, trained_weights
from .metrics import Metrics
from .step import Feed, Stepper
from .step_numbers import StepNumbers
from .stop import Stop
from .validation import validate


@dataclass(eq=False)
class Trainer:
    """A run in memory.

    Attributes:
        network, optimizer: as accelerate prepared them.
        averages: moving averages of the network's weights.
        frozen: null-text constants that are not trained, by name in the UNet.
        paint: makes the sample grid [3, H, W] from 0 to 1 of weights at a step, None if it fails; the attribute is None
            in all but the first process.
        step: optimization steps done.
        stopped_by: the signal that ended `run` before its last step, 0 for none.
        review_pending: the validation or samples due at this step are not done yet.
    """

    config: RunConfig
    accelerator: Accelerator
    base: Base
    feed: Feed
    network: nn.Module
    optimizer: Any
    averages: Averages
    frozen: Mapping[str, Tensor] = field(default_factory=dict)
    paint: Callable[[Mapping[str, Tensor], int], Tensor | None] | None = None
    step: int = 0
    stopped_by: int = 0
    review_pending: bool = False
    step_numbers: StepNumbers = field(default_factory=StepNumbers)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.config.output)

    @property
    def images(self) -> int:
        """Samples per step over all processes."""
        return global_batch(self.config.loop, self.accelerator)

    def resume(self) -> None:
        """Continue from the newest complete checkpoint, if there is one; set damaged checkpoints aside and print
        which."""
        path, review_pending = agree(self.accelerator, lambda: _recover(self.folder / CHECKPOINTS))
        if path is not None:
            checkpoint = read_checkpoint(Path(path))
            layout = optimizer_of(self.config.optimizer.optimizer).state
            restore(self.accelerator, self.network, self.optimizer, self.averages, checkpoint, layout)
            self.step, self.review_pending = checkpoint.step, review_pending
        self.accelerator.wait_for_everyone()

    def run(self) -> bool:
        """Train to the last step, or until a signal asks to stop; save the state in both cases.

        Returns:
            True if the last step was reached.

        Raises:
            InputError: a checkpoint could not be written, or the loss is not finite.
        """
        config, rank, world = self.config, self.accelerator.process_index, self.accelerator.num_processes
        stepper = self._stepper()
        saved, steps = self.step, config.loop.steps
        main = self.accelerator.is_main_process
        with (
            Stop(self.step) as stop,
            Metrics(self.folder, self.step, steps, self.images, main, self.review_pending) as metrics,
        ):
            self.network.train()
            if self.review_pending:
                self._review(metrics)
            for batch in self.feed.batches(self.step, steps, rank, world):
                rate = learning_rate(config.optimizer, self.step, steps)
                set_learning_rate(self.optimizer, rate)
                loss, norm = stepper.run(batch, self.step)
                self.step += 1
                self.averages.update(self.step)
                self.step_numbers.add(self.step, rate, loss, norm)
                log = self._every(config.record.log_every)
                self.stopped_by = stop.agreed(self.accelerator, self.step, log)
                save = self._every(config.record.save_every) or self.stopped_by != 0
                if log or save:
                    metrics.steps(self.step_numbers.take(self.accelerator))
                self.review_pending = self._is_review_due()
                if save:
                    self.save(metrics)
                    saved = self.step
                if self.review_pending and (not self.stopped_by or self.step >= steps):
                    self._review(metrics)  # after a request to stop, the review waits until the run continues
                if self.stopped_by:
                    break
            metrics.steps(self.step_numbers.take(self.accelerator))
            if saved != self.step:
                self.save(metrics)
        return self.step >= steps

    def save(self, metrics: Metrics) -> None:
        """Write a checkpoint. All processes take part; the first writes.

        Raises:
            InputError: the checkpoint could not be written; the previous checkpoint is intact.
        """
        metrics.flush()
        state = {
            "world": self.accelerator.num_processes,
            "global_batch": self.images,
            REVIEW_PENDING: self.review_pending,
        }
        checkpoint = gather(self.accelerator, self.network, self.optimizer, self.averages, self.step, **state)
        agree(self.accelerator, lambda: self._write(checkpoint))
        metrics.pause()

    def _write(self, checkpoint: Checkpoint) -> None:
        best = best_kept(self.folder, first_average(self.config.ema))
        keep = () if best is None else (best.step,)
        write_checkpoint(self.folder / CHECKPOINTS, checkpoint, self.config.record.keep_last, keep)

    def _is_review_due(self) -> bool:
        record = self.config.record
        return self._every(record.sample_every) or self._every(record.validate_every) and self.config.loop.held_out > 0

    def _review(self, metrics: Metrics) -> None:
        """Validate and sample if due, then mark this step's checkpoint as reviewed."""
        record = self.config.record
        if self._every(record.validate_every) and self.config.loop.held_out:
            losses = validate(
                self.accelerator, self.network, self.averages, self.feed.held_out(), self.base.schedule,
                self.config.loop.seed, max(1, self.config.loop.batch_size // 2),
            )  # fmt: skip
            metrics.numbers(self.step, losses)
            metrics.pause()

        if self._every(record.sample_every):
            weights, _ = self.result_weights()
            agree(self.accelerator, lambda: self._paint(metrics, weights))
            metrics.pause()
        metrics.flush()
        self.review_pending = False
        if self.accelerator.is_main_process:
            mark_reviewed(self.folder / CHECKPOINTS, self.step)

    def _paint(self, metrics: Metrics, weights: Mapping[str, Tensor]) -> None:
        picture = None if self.paint is None else self.paint(weights, self.step)
        if picture is not None:
            metrics.picture(self.step, "samples", picture)

    def result_weights(self) -> tuple[dict[str, Tensor], str]:
        """Return the weights to export, and the name of their average. All processes take part.

        The weights are on the CPU, by name in the network: the first average, or the last weights ("") if no average is
        kept.
        """
        names = self.averages.names
        if not names:
            return trained_weights(self.network), ""
        with self.averages.applied(names[0]):
            return trained_weights(self.network), names[0]

    def _every(self, steps: int) -> bool:
        return steps > 0 and (self.step % steps == 0 or self.step == self.config.loop.steps)

    def _stepper(self) -> Stepper:
        loop = self.config.loop
        return Stepper(
            accelerator=self.accelerator,
            network=self.network,
            optimizer=self.optimizer,
            schedule=self.base.schedule,
            loss=self.config.loss,
            seed=loop.seed,
            global_batch=self.images,
            micro_batch=loop.batch_size,
            max_grad_norm=self.config.optimizer.max_grad_norm,
        )


def open_trainer(
    config: RunConfig,
    accelerator: Accelerator,
    base: Base,
    feed: Feed,
    network: Network,
    frozen: Mapping[str, Tensor] | None = None,
) -> Trainer:
    """Move a network to the device and create its optimizer and averages. Arguments as in `Trainer`.

    Raises:
        InputError: the optimizer or an average is not available.
    """
    wanted = profiles(config.ema)
    unet: Any = network.unet
    network.train()
    if config.loop.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    if config.loop.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.loop.compile:
        unet.compile()
    fused = accelerator.device.type == "cuda"
    network.to(accelerator.device)
    network.frozen_text_to(accelerator.device)
    parameters = [value for value in network.parameters() if value.requires_grad]
    optimizer = optimizer_of(config.optimizer.optimizer).build(config.optimizer, parameters, fused)
    prepared, optimizer = accelerator.prepare(network, optimizer)
    return Trainer(config, accelerator, base, feed, prepared, optimizer, Averages(prepared, wanted), frozen or {})


def _recover(folder: Path) -> tuple[str | None, bool]:
    """Return the newest complete checkpoint, and whether its step's review is still pending."""
    path, sentences = recover(folder)
    for sentence in sentences:
        print(sentence, flush=True)
    return (None, False) if path is None else (str(path), is_review_pending(path))
