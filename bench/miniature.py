"""Sample the miniature experiment's pictures through ComfyUI and the pack, as users do.

Usage: python dev.py bench miniature [--seeds 3] [--count 256] [--only GROUP_OR_NAME ...]

Samples are kept in output/miniature/samples and not sampled again with the same weights. The measurements are the
trainer's: `python -m training.miniature report`, which the same command runs afterwards with the same options.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rigs.host import ROOT, enter_host

BATCH = 64
SIDE = 32
SAMPLER, SCHEDULER = "ddim", "sgm_uniform"  # sgm_uniform: the "trailing" steps of arXiv 2305.08891


class Studio:
    """ComfyUI with the pack and the starter models, on the CPU."""

    def __init__(self, models: Any) -> None:
        from rigs.pack import load_pack

        self.pack = load_pack()
        self.files = models
        base, clip, self.vae, _ = self.pack.module("nodes.loading.world_loader").load_world(models.world)
        self.clip: Any = clip
        self.models: dict[str, Any] = {"base": base}
        self.null = self.condition([""])  # one row, which ComfyUI repeats

    def condition(self, prompts: Sequence[str]) -> Any:
        """Make one CONDITIONING whose rows are the prompts' text features."""
        import torch

        encoded = [self.clip.encode_from_tokens_scheduled(self.clip.tokenize(prompt)) for prompt in prompts]
        return [[torch.cat([one[0][0] for one in encoded]), {}]]

    def model(self, name: str) -> Any:
        if name not in self.models:
            load = self.pack.module("nodes.loading.concept_loader").load_model_file
            self.models[name] = load(str(self.files.file(name)))
        return self.models[name]

    def guider(self, setting: Any, prompt: Any) -> Any:
        graph = self.pack.module("gcfg_core.guidance.graph")
        modifiers = self.pack.module("gcfg_core.guidance.modifiers")
        window = self.pack.module("gcfg_core.guidance.sampling_progress").Window
        terms = [
            graph.GuidanceTerm(
                positive=graph.Side(self.model(term.model) if term.model else None, prompt if term.prompt else None),
                weight=term.weight,
                window=window(term.start, term.end),
                modifiers=(modifiers.Refresh(term.refresh),),
            )
            for term in setting.terms
        ]
        return self.pack.module("nodes.sampling.guider").GCFGGuider(self.model(setting.base), self.null, terms)

    def batch(self, setting: Any, prompts: Sequence[str], seed: int) -> tuple[Any, int]:
        """Return pictures [N, 3, H, W] uint8, and the number of evaluations in their sampling."""
        import comfy.sample
        import comfy.samplers
        import torch

        guider = self.guider(setting, self.condition(prompts))
        latent = torch.zeros(len(prompts), 12, SIDE // 2, SIDE // 2)
        sampling = guider.model_patcher.get_model_object("model_sampling")
        sigmas = comfy.samplers.calculate_sigmas(sampling, SCHEDULER, setting.steps)
        noise = comfy.sample.prepare_noise(latent, seed)
        sampler = comfy.samplers.sampler_object(SAMPLER)
        result = guider.sample(noise, latent, sampler, sigmas, disable_pbar=True, seed=seed)
        pixels = (self.vae.decode(result) * 255.0).round().clamp(0, 255).to(torch.uint8)
        return pixels.permute(0, 3, 1, 2).contiguous(), guider.trace.evaluations

    def sample(self, setting: Any, seed: int, count: int) -> Any:
        import torch

        from training.miniature.pictures import caption
        from training.miniature.samples import Samples, wanted

        prompts = [caption("a face", asked) for asked in wanted(seed, count, setting.glasses)]
        start, sampled, evaluations = time.perf_counter(), [], 0
        for first in range(0, count, BATCH):
            pixels, used = self.batch(setting, prompts[first : first + BATCH], 1000 * seed + first)
            sampled.append(pixels)
            evaluations += used
        a_step = evaluations / (len(sampled) * setting.steps)
        return Samples(torch.cat(sampled), a_step, time.perf_counter() - start)


def main() -> None:
    arguments = parse_arguments()
    enter_host()
    import torch

    from training.miniature.experiment import wanted_settings
    from training.miniature.models import Models
    from training.miniature.samples import path_of, write_samples

    torch.set_grad_enabled(False)
    models = Models(arguments.weights, arguments.trained)
    settings = wanted_settings(models, arguments.only)
    studio = Studio(models)
    arguments.samples.mkdir(parents=True, exist_ok=True)
    for seed in range(arguments.seeds):
        for number, setting in enumerate(settings, 1):
            path = path_of(arguments.samples, models, setting, seed, arguments.count)
            if path.is_file():
                continue
            samples = studio.sample(setting, seed, arguments.count)
            write_samples(path, samples, setting)
            print(f"seed {seed}, {number} of {len(settings)}: {setting.name}, {samples.evaluations:.2f} evaluations "
                  f"a step, {samples.seconds:.0f} s", flush=True)  # fmt: skip


def parse_arguments() -> argparse.Namespace:
    from training.miniature.experiment import add_options

    kept = ROOT / "output" / "miniature"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--weights", type=Path, default=ROOT / "starter", help="folder with world/ and concepts/")
    parser.add_argument("--trained", type=Path, default=kept / "weights", help="a further folder with concepts/")
    parser.add_argument("--samples", type=Path, default=kept / "samples", help="folder of the sampled pictures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
