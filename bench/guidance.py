"""Measure what docs/MEASUREMENTS.md claims about speed: ratios within one run, on this machine.

Usage: python dev.py bench guidance [--kind sd15] [--size 32] [--steps 8] [--repeats 9] [--gpu]

Each ratio compares two guiders on the same model, noise and sigmas. They take turns, so that a slow period of the
machine affects both; a ratio is the median over the turns, with the middle half of them in brackets.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

from rigs.host import enter_host


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default="sd15", help="tiny model: sd15, sd2v, sdxl, sd3, wan (default sd15)")
    parser.add_argument("--size", type=int, default=32, help="latent height and width (default 32)")
    parser.add_argument("--steps", type=int, default=8, help="sampling steps a turn (default 8)")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each guider (default 9)")
    parser.add_argument("--gpu", action="store_true", help="let ComfyUI choose the device instead of the CPU")
    return parser.parse_args()


class Bench:
    """Guiders on one tiny model family, timed in turns. The concept is a null-text model if the family has one."""

    def __init__(self, kind: str, size: int, steps: int, repeats: int) -> None:
        import comfy.samplers

        from rigs.concepts import CONFIGS, tiny_concept
        from rigs.pack import load_pack
        from rigs.tiny import load_tiny, tiny_cond, tiny_latent

        self.pack = load_pack()
        self.steps, self.repeats = steps, repeats
        self.base = load_tiny(kind, 0)
        loader = self.pack.module("nodes.loading.concept_loader")
        self.concept = loader.load_model_file(str(tiny_concept(kind))) if kind in CONFIGS else load_tiny(kind, 1)
        self.prompt, self.null = tiny_cond(kind, 1), tiny_cond(kind, 2)
        self.latent = tiny_latent(kind, 0, 1, size)["samples"]
        sampling = self.base.get_model_object("model_sampling")
        self.sigmas = comfy.samplers.calculate_sigmas(sampling, "normal", steps)

    def gcfg(self, concept: bool) -> Any:
        """Make a guider with one prompt term; with ``concept`` the paper's graph, with a null-text concept model."""
        graph = self.pack.module("gcfg_core.guidance.graph")
        terms = [graph.GuidanceTerm(positive=graph.Side(None, self.prompt), weight=2.5, label="control")]
        if concept:
            terms.insert(0, graph.GuidanceTerm(positive=graph.Side(self.concept), weight=2.5, label="concept"))
        return self.pack.module("nodes.sampling.guider").GCFGGuider(self.base, self.null, terms)

    def unrecorded(self) -> Any:
        """Make the paper's graph without recording a trace, which only this benchmark ever does."""
        guider = self.gcfg(True)
        guider.trace.add = lambda *_: None
        return guider

    def core(self) -> Any:
        import comfy.samplers

        guider = comfy.samplers.CFGGuider(self.base)
        guider.set_conds(self.prompt, self.null)
        guider.set_cfg(2.5)
        return guider

    def one_after_another(self) -> Any:
        """Make the paper's graph with each of the three predictions in its own forward."""
        from bench.sequential import SequentialGuider

        return SequentialGuider(self.base, self.concept, self.prompt, self.null, 2.5, 2.5)

    def seconds_per_step(self, guider: Any) -> float:
        """Return the median time between two steps of one run."""
        import comfy.sample
        import comfy.samplers

        times: list[float] = []
        sampler = comfy.samplers.sampler_object("euler")
        noise = comfy.sample.prepare_noise(self.latent, 1)
        guider.sample(
            noise, self.latent, sampler, self.sigmas, disable_pbar=True, seed=1,
            callback=lambda *_: times.append(time.perf_counter()),
        )  # fmt: skip
        return statistics.median(b - a for a, b in zip(times, times[1:], strict=False))

    def ratio(self, name: str, ours: Callable[[], Any], theirs: Callable[[], Any], bound: str) -> None:
        one, other = ours(), theirs()
        self.seconds_per_step(one), self.seconds_per_step(other)
        pairs = []
        for turn in range(self.repeats):
            first, second = (one, other) if turn % 2 == 0 else (other, one)
            times = {id(first): self.seconds_per_step(first), id(second): self.seconds_per_step(second)}
            pairs.append((times[id(one)], times[id(other)]))
        ratios = sorted(a / b for a, b in pairs)
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        ms = [1000 * statistics.median(column) for column in zip(*pairs, strict=True)]
        ratio = f"{statistics.median(ratios):.3f} [{low:.3f}, {high:.3f}]"
        print(f"| {name} | {ms[0]:.1f} | {ms[1]:.1f} | {ratio} | {bound} |")

    def outside_share(self, name: str, guider: Any, models: list[Any], bound: str) -> None:
        """Print the share of the guider's time outside the models' forwards."""
        total, inside = self._ms_a_call(guider, [(model.model, "apply_model") for model in models])
        print(f"| {name} | {total:.1f} | {inside:.1f} | {1.0 - inside / total:.2%} | {bound} |")

    def recording_share(self, name: str, guider: Any, bound: str) -> None:
        """Print the share of the guider's time for recording the trace, with fetching it at the end of a run."""
        total, noting = self._ms_a_call(guider, [(guider.trace, "add"), (guider.trace, "finish")])
        print(f"| {name} | {total:.1f} | {noting:.3f} | {noting / total:.3%} | {bound} |")

    def _ms_a_call(self, guider: Any, methods: list[tuple[Any, str]]) -> tuple[float, float]:
        """Return the milliseconds of a guider call, and of these methods (owner, name) in it, over all turns."""
        total, part = [0.0], [0.0]
        restore = [_time_calls(owner, method, part) for owner, method in methods]
        restore.append(_time_calls(guider, "predict_noise", total))
        try:
            for _ in range(self.repeats):
                self.seconds_per_step(guider)
        finally:
            for undo in restore:
                undo()
        calls = self.repeats * self.steps
        return 1000 * total[0] / calls, 1000 * part[0] / calls


def _time_calls(owner: Any, name: str, seconds: list[float]) -> Callable[[], None]:
    """Add the duration of every call of a method to ``seconds``; return a function that stops it."""
    method = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return method(*args, **kwargs)
        finally:
            seconds[0] += time.perf_counter() - start

    setattr(owner, name, timed)
    return lambda: delattr(owner, name)


def main() -> None:
    arguments = parse_arguments()
    enter_host()
    if arguments.gpu:
        import comfy.cli_args

        comfy.cli_args.args.cpu = False
    import comfy.model_management
    import comfyui_version
    import torch

    torch.set_grad_enabled(False)
    bench = Bench(arguments.kind, arguments.size, arguments.steps, arguments.repeats)
    device = comfy.model_management.get_torch_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
    host = (
        f"ComfyUI {comfyui_version.__version__}, torch {torch.__version__}, {name}, {torch.get_num_threads()} threads"
    )
    run = f"{arguments.size}x{arguments.size} latent, {arguments.steps} euler steps a turn, {arguments.repeats} turns"
    print(f"\n{host};\ntiny {arguments.kind}, {run}\n")
    print("| wall time per step | ours, ms | other, ms | ratio [middle half] | wanted |\n|---|---|---|---|---|")
    bench.ratio("one term / core CFGGuider", lambda: bench.gcfg(False), bench.core, "<= 1.02")
    bench.ratio("the paper's graph / its three predictions one after another",
                lambda: bench.gcfg(True), bench.one_after_another, "< 1")  # fmt: skip
    bench.ratio("the paper's graph, recording on / off", lambda: bench.gcfg(True), bench.unrecorded, "<= 1.01")
    print("\n| guider call | total, ms | in forwards, ms | outside | wanted |\n|---|---|---|---|---|")
    bench.outside_share("one term", bench.gcfg(False), [bench.base], "<= 2 %")
    bench.outside_share("the paper's graph", bench.gcfg(True), [bench.base, bench.concept], "<= 2 %")
    bench.outside_share("core CFGGuider, for comparison", bench.core(), [bench.base], "-")
    print("\n| guider call | total, ms | recording, ms | share | wanted |\n|---|---|---|---|---|")
    bench.recording_share("one term", bench.gcfg(False), "<= 1 %")
    bench.recording_share("the paper's graph", bench.gcfg(True), "<= 1 %")


if __name__ == "__main__":
    main()
