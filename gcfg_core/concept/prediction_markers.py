"""Marks in a model file, beside its weights, that say what the network predicts and over which noise levels."""

from collections.abc import Iterable, Mapping

MARKERS = ("v_pred", "ztsnr")  # empty tensors: v-prediction and zero terminal SNR
# Tensors by which ComfyUI knows models over a continuous range of sigma instead of a DDPM schedule.
EDM_MARKERS = {
    "edm_vpred.sigma_max": "an EDM v-prediction model such as CosXL",
    "edm_vpred.sigma_min": "an EDM v-prediction model such as CosXL",
    "edm_mean": "an EDM model such as Playground v2.5",
    "edm_std": "an EDM model such as Playground v2.5",
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
    """ "epsilon" or "v_prediction" as a marker tensor or else ModelSpec's metadata says it, None where nothing does.

    A value that ModelSpec's metadata has and nobody here knows comes back as it is, to be refused by name.
    """
    if MARKERS[0] in set(names):
        return "v_prediction"
    said = (metadata.get(key, "").strip() for key in SPEC_KEYS)
    value = next((value for value in said if value), None)
    return None if value is None else SPEC.get(value.lower(), value)


def edm_kind(names: Iterable[str]) -> str | None:
    """The kind of EDM model that marker tensors make of a file, with the marker; None for every other file."""
    given = set(names)
    return next((f"{kind} ({marker})" for marker, kind in EDM_MARKERS.items() if marker in given), None)
