"""Formula and evaluations that each example workflow must have when it runs."""

from dataclasses import dataclass, replace

PAPER = "D = base(null) + 2.5 * (concept(null) - base(null)) + 2.5 * (base(control) - base(null))"


@dataclass(frozen=True)
class Expected:
    """The result of a workflow in four steps: formula and evaluations per call, for each of its sampling runs.

    ``before``: evaluations of a stock sampler that makes the first picture, if the workflow does not load one.
    ``shown``: the formula that the node shows, if it is not those of the runs.
    ``cells``: numbers of pictures beside and below each other in the saved picture.
    """

    formulas: tuple[str, ...]
    evaluations: tuple[list[int], ...]
    frames: int = 1
    labels: tuple[str, ...] = ()
    before: int = 0
    shown: str = ""
    cells: tuple[int, int] = (1, 1)


def one(formula: str, evaluations: list[int], *labels: str, frames: int = 1) -> Expected:
    return Expected((formula,), (evaluations,), frames, labels)


EXPECTED = {
    "plain_cfg": one("D = base(null) + 7 * (base(control) - base(null))", [2] * 4, "control"),
    "concept_and_control": one(PAPER, [3] * 4, "concept", "control"),
    "two_concepts": one(
        "D = base(null) + 1 * (first(null) - base(null)) + 0.5 * (second(null) - base(null))"
        " + 3 * (base(control) - base(null))",
        [4] * 4, "first", "second", "control",
    ),
    "negative_term": one(
        "D = base(null) + 7 * (base(control) - base(null)) - 2 * away[primary term, 0](base(avoid) - base(null))",
        [3] * 4, "control", "avoid",
    ),
    "windowed_control": one(
        "D = base(null) + 1 * (base(prompt) - base(null)) + 6{@ 15%-75%} * (base(prompt) - base(null))",
        [1, 2, 1, 1], "prompt", "guidance",
    ),
    "weight_curves": one(
        "D = base(null) + 3{ramp} * (concept(null) - base(null)) + 6{cosine} * (base(control) - base(null))"
        " + 2{keyframes} * (base(finish) - base(null))",
        [2, 3, 4, 3], "concept", "control", "finish",
    ),
    "regional_masks": one(
        "D = base(null) + 3 * (base(scene) - base(null)) + 4 * mask[left] * (base(left) - base(null))"
        " + 4 * mask[right] * (base(right) - base(null))",
        [4] * 4, "scene", "left", "right",
    ),
    "autoguidance": one(
        "D = base(null) + 4 * (base(control) - base(null)) + 1.5 * (base(control) - weaker(control))",
        [3] * 4, "control", "weaker",
    ),
    "domain_guidance": one("D = base(null) + 5 * (tuned(c1) - base(null))", [2] * 4, "tuned"),
    "lora_on_one_branch": one(
        "D = base(null) + 6 * (base(control) - base(null)) + 2 * (lora(control) - base(control))",
        [3] * 4, "control", "lora",
    ),
    "controlnet_on_control": one(
        "D = base(null) + 1.5 * (tuned(null) - base(null)) + 5 * (base(control) - base(null))",
        [3] * 4, "tuned", "control",
    ),
    "image_to_image": one(PAPER, [3] * 4, "concept", "control"),
    "inpainting": one(
        "D = base(null) + 2 * (concept(null) - base(null)) + 4 * (base(control) - base(null))",
        [3] * 4, "concept", "control",
    ),
    "sdxl": one(
        "D = base(null) + 1.5 * (anime(null) - base(null)) + 5 * (base(control) - base(null))",
        [3] * 4, "anime", "control",
    ),
    "flow_model": one(
        "D = base(null) + 4 * (base(subject) - base(null)) + 2{linear @ 10%-100%} * (base(style) - base(null))",
        [2, 3, 3, 3], "subject", "style",
    ),
    "video_model": one(
        "D = base(null) + 5 * (base(scene) - base(null)) + 2{@ 0%-50%} * (base(movement) - base(null))",
        [3, 3, 3, 2], "scene", "movement", frames=5,
    ),
    "two_stages": Expected(
        ("D = base(null) + 5 * (base(control) - base(null))", PAPER), ([2, 2], [3, 3]), labels=("concept", "control")
    ),
}  # fmt: skip
STARTERS = ("concept_and_control", "plain_cfg", "two_concepts", "negative_term", "regional_masks", "domain_guidance",
            "two_stages")  # fmt: skip
"""With the starter models these have the same formula and evaluations as with Stable Diffusion."""
EXPECTED |= {f"starter_{name}": EXPECTED[name] for name in STARTERS} | {
    f"starter_{name}": replace(EXPECTED[name], before=8) for name in ("image_to_image", "inpainting")
}
# Other steps are within the windows, because zero terminal SNR starts at a far higher sigma.
EXPECTED |= {
    f"starter_{name}": replace(EXPECTED[name], evaluations=(evaluations,))
    for name, evaluations in {"windowed_control": [1, 2, 2, 1], "weight_curves": [2, 3, 3, 4]}.items()
}


def sweep_of_weights() -> Expected:
    """Sixteen runs. The base cancels where the concept has weight 1 and the prompt none."""
    weights = [(concept, control) for concept in (0, 1, 2, 3) for control in (0, 1.5, 3, 4.5)]
    formula = PAPER.replace("2.5", "{:g}")
    few = {(0, 0): 1, (1, 0): 1}
    evaluations = ([few.get(pair, 1 + sum(map(bool, pair)))] * 4 for pair in weights)
    return Expected(
        tuple(formula.format(*pair) for pair in weights), tuple(evaluations), labels=("concept", "control"),
        shown=PAPER.replace("2.5", "?"), cells=(4, 4),
    )  # fmt: skip


EXPECTED["starter_sweep"] = sweep_of_weights()
EXPECTED["starter_for_less"] = one(
    "D = base(null) + 1.25 * every[2](concept(null) - base(null)) + 3{@ 0%-50%} * every[2](base(control) - base(null))",
    [3, 1, 2, 1], "concept", "control",
)  # fmt: skip
EXPECTED["starter_report"] = Expected(
    ("D = base(null) + 1.5{ramp} * (concept(null) - base(null)) + 4{cosine} * (base(control) - base(null))",),
    ([2, 3, 3, 3],), labels=("concept", "control"),
)  # fmt: skip
