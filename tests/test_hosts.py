"""What older and newer hosts know differently: search aliases, and hints of empty latents."""

import dataclasses
from typing import Any

import pytest
import torch
from comfy_api.latest import io

from rigs.micro import micro_cond, micro_latent, micro_model
from rigs.tiny import load_tiny, tiny_cond, tiny_latent

WEIGHT = 3.5
C, D, E, U = (micro_cond(i) for i in (1, 2, 3, 4))


class TestHosts:
    NODES = ("GuidanceTerm", "ModifyTerm", "MergeTerms", "Guider", "Sampler", "LoadConceptModel", "LoadStarterWorld",
             "SweepAxis", "Sweep")  # fmt: skip

    @staticmethod
    def aliases(node: Any) -> list[str]:
        return list(getattr(node.define_schema(), "search_aliases", None) or [])

    @pytest.mark.parametrize("name", NODES)
    def test_search_aliases_are_given_where_the_host_knows_them(self, pack: Any, name: str) -> None:
        known = "search_aliases" in {field.name for field in dataclasses.fields(io.Schema)}
        assert ("gcfg" in self.aliases(pack.node(f"GCFG_{name}"))) == known

    @pytest.mark.parametrize("name", NODES)
    def test_a_host_that_knows_them_shows_them(self, pack: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """This host's schema with the one field that came later."""

        @dataclasses.dataclass
        class LaterSchema(io.Schema):
            search_aliases: list[str] = dataclasses.field(default_factory=list)

        monkeypatch.setattr(io, "Schema", LaterSchema)
        aliases = self.aliases(pack.node(f"GCFG_{name}"))
        assert aliases[0] == "gcfg" and len(aliases) == len(set(aliases)) > 1

    @staticmethod
    def same_job(pack: Any, model: Any, conds: tuple[list, list], latent: dict[str, Any]) -> tuple[dict, dict]:
        """(ours, KSampler's) LATENT."""
        shared = {"model": model, "latent_image": latent, "seed": 3, "steps": 2, "sampler_name": "euler",
                  "scheduler": "simple", "denoise": 1.0}  # fmt: skip
        (terms,) = pack.run("GCFG_GuidanceTerm", positive=conds[0], weight=WEIGHT)
        ours, _ = pack.run("GCFG_Sampler", conditioning=conds[1], terms=terms, **shared)
        (core,) = pack.run("KSampler", positive=conds[0], negative=conds[1], cfg=WEIGHT, **shared)
        return ours, core

    @pytest.mark.parametrize("empty", [True, False], ids=["empty", "full"])
    @pytest.mark.parametrize(
        ("kind", "hints"),
        [
            ("sd15", {"downscale_ratio_spacial": 16}),
            ("wan", {"downscale_ratio_spacial": 16}),
            ("wan", {"downscale_ratio_temporal": 8}),
            ("wan", {"downscale_ratio_spacial": 16, "downscale_ratio_temporal": 8}),
        ],
    )
    def test_hints_of_empty_latents_act_as_in_ksampler(
        self, pack: Any, kind: str, hints: dict[str, int], empty: bool
    ) -> None:
        """Newer hosts size an empty latent by them; older ones sample it as it is and hand them on."""
        model = micro_model(0) if kind == "sd15" else load_tiny(kind)
        conds = (C, U) if kind == "sd15" else (tiny_cond(kind, 1), tiny_cond(kind, 2))
        samples = (micro_latent(0) if kind == "sd15" else tiny_latent(kind, size=8))["samples"]
        latent = {"samples": torch.zeros_like(samples) if empty else samples, **hints, "foreign": 1}
        ours, core = self.same_job(pack, model, conds, latent)
        assert torch.equal(ours["samples"], core["samples"])
        assert latent.keys() == {"samples", "foreign", *hints}, "the input was written to"
        assert ours["foreign"] == 1
        assert empty or ours["samples"].shape == samples.shape
