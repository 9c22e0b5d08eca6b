"""Markers in a model file that name its prediction type and range of noise levels."""

from collections.abc import Iterable, Mapping

MARKERS = ("v_pred", "ztsnr")  # empty tensors: v-prediction and zero terminal SNR
# Tensors by which ComfyUI recognizes models over a continuous range of sigma instead of a DDPM schedule.
EDM_MARKERS = {
    "edm_vpred.sigma_max": "an EDM v-prediction model such as CosXL",
    "edm_vpred.sigma_min": "an EDM v-prediction model like CosXL",
    "edm_mean": "an EDM model like Playground v2.5",
    "edm_std": "an EDM model like Playground v2.5",
}
EDM_REMEDY = (
    "Its noise levels are no DDPM schedule, the only kind that can be trained. In ComfyUI Load Checkpoint loads it, "
    "and any side of a guidance graph can be on it."
)
SPEC_KEYS = ("modelspec.prediction_type", "modelspec.predict_key")  # ModelSpec's own key, and ComfyUI's
SPEC = {
    **dict.fromkeys(("v", "v_prediction", "v-prediction", "v_pred", "vpred"), "v_prediction"),
    **dict.fromkeys(("epsilon", "eps"), "epsilon"),
}


def marked_prediction(names: Iterable[str], metadata: Mapping[str, str]) -> str | None:
    """Return the prediction type that a marker tensor or else ModelSpec's metadata names; None if neither does.

    An unknown value of ModelSpec's metadata is returned unchanged, so that the caller can name it when refusing it.
    """
    if MARKERS[0] in set(names):
        return "v_prediction"
    said = (metadata.get(key, "").strip() for key in SPEC_KEYS)
    value = next((value for value in said if value), None)
    return None if value is None else SPEC.get(value.lower(), value)


def edm_kind(names: Iterable[str]) -> str | None:
    """Return the kind of EDM model that a marker tensor names, with the marker; None for every other file."""
    given = set(names)
    return next((f"{kind} ({marker})" for marker, kind in EDM_MARKERS.items() if marker in given), None)
