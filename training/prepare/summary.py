"""What preparing has measured, as a table for people and as JSON."""

from dataclasses import dataclass
from typing import Any

from .calibrate import Calibration
from .change import OutputChange

NOISE_ALONE = "NO IMAGES WERE GIVEN: measured on standard normal noise. Give images of your own for a better start."
ROW = "{:<64}{:>12}"


@dataclass(frozen=True, eq=False)
class PrepareSummary:
    """Everything that was measured.

    Attributes:
        base: name of the base.
        base_sha256: of its UNet.
        images: whether real pictures were seen.
        side: of the square latents.
        calibration: constants' deviations.
        change: of the UNet's output.
    """

    base: str
    base_sha256: str
    images: bool
    side: int
    calibration: Calibration
    change: OutputChange

    @property
    def mean_deviation(self) -> float:
        deviations = self.calibration.deviations.values()
        return sum(deviations) / len(deviations)

    def as_json(self) -> dict[str, Any]:
        """Numbers JSON can hold; deviations and changes are fractions."""
        return {
            "base": self.base,
            "base_sha256": self.base_sha256,
            "measured_on": "images" if self.images else "standard normal noise",
            "pictures": self.calibration.pictures,
            "latent_side": self.side,
            "levels": list(self.calibration.levels),
            "seed": self.calibration.seed,
            "deviation": {"mean": self.mean_deviation, "layers": dict(self.calibration.deviations)},
            "output_change": {
                "mean": self.change.mean,
                "levels": {str(level): value for level, value in self.change.levels.items()},
            },
        }

    def summary(self) -> dict[str, Any]:
        """What a concept file keeps of it: everything but the single layers."""
        numbers = self.as_json()
        return {
            **numbers,
            "deviation": {"mean": self.mean_deviation, "worst": max(self.calibration.deviations.values())},
        }

    def text(self) -> str:
        """A table: deviation of each layer, change of the output at each noise level."""
        kind = "images" if self.images else "pictures of noise"
        lines = [] if self.images else [NOISE_ALONE, ""]
        lines += [
            f"base {self.base} (sha256 of its UNet's tensors {self.base_sha256})",
            f"measured on {self.calibration.pictures} {kind} (latents {self.side}x{self.side}) "
            f"at {len(self.calibration.levels)} noise levels, seed {self.calibration.seed}",
            "",
            ROW.format("cross-attention", "deviation"),
        ]
        lines += [ROW.format(path, _percent(value)) for path, value in self.calibration.deviations.items()]
        lines += [ROW.format("mean", _percent(self.mean_deviation)), "", ROW.format("noise level t", "output change")]
        lines += [ROW.format(level, _percent(value)) for level, value in self.change.levels.items()]
        return "\n".join([*lines, ROW.format("mean", _percent(self.change.mean))])


def _percent(value: float) -> str:
    return f"{100 * value:.3f} %"
