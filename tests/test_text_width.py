"""Text features of another model's CLIP: the message names term, input and remedy, not the shapes of matrices (U17)."""

from typing import Any

import pytest

from rigs.graphs import chain
from rigs.micro import CONTEXT, micro_cond, micro_latent, micro_model

SAMPLER = {"seed": 1, "steps": 2, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0, "rescale": 0.0}
WIDE = 2 * CONTEXT


def wide_cond() -> list:
    (features, options) = micro_cond(3)[0]
    return [[features.repeat(1, 1, 2), options]]


def sample(pack: Any, conditioning: list, *terms: dict[str, Any]) -> Any:
    return pack.run(
        "GCFG_Sampler", model=micro_model(0), conditioning=conditioning, terms=chain(pack, terms),
        latent_image=micro_latent(0), **SAMPLER,
    )  # fmt: skip


@pytest.mark.parametrize(("side", "label", "named"), [
    ("positive", "style", "Guidance Term 'style', input 'positive'"),
    ("reference", "", "Guidance Term 2, input 'reference'"),
])  # fmt: skip
def test_the_term_and_its_input_are_named(pack: Any, side: str, label: str, named: str) -> None:
    wrong = {"model": micro_model(1), "reference_model": micro_model(1), side: wide_cond(), "label": label}
    with pytest.raises(ValueError, match=f"{named}: the text features are {WIDE} wide, but the model reads {CONTEXT}"):
        sample(pack, micro_cond(0), {"positive": micro_cond(1)}, wrong)


def test_the_base_condition_is_named(pack: Any) -> None:
    with pytest.raises(ValueError, match="input 'conditioning': the text features are 64 wide"):
        sample(pack, wide_cond(), {"positive": micro_cond(1)})


def test_other_errors_stay(pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = micro_model(0)
    for text in ("shape of something else", "out of memory"):

        def broken(*_: Any, _text: str = text, **__: Any) -> None:
            raise RuntimeError(_text)

        monkeypatch.setattr(model.model, "apply_model", broken)
        with pytest.raises(RuntimeError, match=text):
            pack.run("GCFG_Sampler", model=model, conditioning=micro_cond(0), terms=(), latent_image=micro_latent(0),
                     **SAMPLER)  # fmt: skip
