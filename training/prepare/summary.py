"""The measurements of `prepare`, as a table and as JSON."""

from dataclasses import dataclass
from typing import Any

from .calibrate import Calibration
from .change import OutputChange

NOISE_ALONE = "NO IMAGES WERE GIVEN: measured on standard normal noise. Give images of your own for a better start."
ROW = "{:<64}{:>12}"


@dataclass(frozen=True, eq=False)
class PrepareSummary:
    """The measurements of `prepare`.

    Attributes:
        base: name of the base.
        base_sha256: hash of its UNet.
        images: True if measured on pictures, False on noise.
        side: side of the square latents.
        calibration: constants and their deviations.
        change: change of the UNet's output.
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
        """Return JSON values; deviations and changes are fractions."""
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

    def without_layers(self) -> dict[str, Any]:
        """Return the part that a concept file stores: everything but the single layers."""
        numbers = self.as_json()
        return {
            **numbers,
            "deviation": {"mean": self.mean_deviation, "worst": max(self.calibration.deviations.values())},
        }

    def text(self) -> str:
        """Format a table: deviation of each layer, and change of the output at each noise level."""
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
