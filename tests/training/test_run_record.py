"""run.json: what a run that goes on must agree with."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from train_rigs.bases import tiny_base
from train_rigs.runs import settings, toy_base

from gcfg_core.concept.concept import Concept
from gcfg_core.errors import InputError
from training.base.identity import base_settings, text_digest, tokenizer_digest
from training.base.model import Base, Condition
from training.base.noise_schedule import NoiseSchedule, noise_schedule
from training.base.read import read_base
from training.base.world_codec import PixelCodec
from training.data.picture import Picture, Size, digest_of
from training.data.plugins import Plugin
from training.export.facts import base_line
from training.kinds.checks import check_start
from training.settings.read import run_config
from training.state.checkpoint import CHECKPOINTS
from training.state.constants import CONSTANTS, read_constants
from training.state.record import RECORD, check_record, open_record, read_record, result_settings

OTHERS: dict[str, dict[str, Any]] = {
    "base.prediction_type": {"schedule": noise_schedule(prediction_type="v_prediction")},
    "base.alphas_cumprod": {"schedule": noise_schedule({"beta_schedule": "linear"})},
    "base.codec": {"codec": PixelCodec(2)},
    "base.unet_config": {"config": {**toy_base().config, "norm_eps": 1e-3}},
}


def begun(folder: Path, base: Base, **sections: Any) -> None:
    """A run that has come to its first checkpoint."""
    config = run_config(settings(folder, **sections))
    folder.mkdir(exist_ok=True)
    open_record(folder, config, result_settings(config, base, "d", 2), {})
    (folder / CHECKPOINTS / "step-00000002").mkdir(parents=True, exist_ok=True)


def again(folder: Path, base: Base, **sections: Any) -> None:
    config = run_config(settings(folder, **sections))
    check_record(folder, result_settings(config, base, "d", 2))


def test_checkpoints_without_their_record_are_no_run(tmp_path: Path) -> None:
    begun(tmp_path, toy_base())
    (tmp_path / RECORD).unlink()
    for step in (again, begun):
        with pytest.raises(InputError, match="run.json: expected the record of the run whose checkpoints") as told:
            step(tmp_path, toy_base())
        assert "\n" not in str(told.value) and not (tmp_path / RECORD).exists()


@pytest.mark.parametrize("key", OTHERS)
def test_the_whole_base_is_pinned(tmp_path: Path, key: str) -> None:
    begun(tmp_path, toy_base())
    again(tmp_path, toy_base())
    with pytest.raises(InputError, match=f"^{key}: expected ") as told:
        again(tmp_path, dataclasses.replace(toy_base(), **OTHERS[key]))
    assert "\n" not in str(told.value)


def test_a_setting_of_a_later_version_had_its_default(tmp_path: Path) -> None:
    begun(tmp_path, toy_base())
    record = read_record(tmp_path)
    for key in ("loss.noise_offset", "base.codec", "base.unet_config"):
        del record["settings"][key]
    (tmp_path / RECORD).write_text(json.dumps(record))
    again(tmp_path, toy_base())
    with pytest.raises(InputError, match="^loss.noise_offset: expected 0.0 as in the run"):
        again(tmp_path, toy_base(), loss={"noise_offset": 0.1})
    begun(tmp_path, toy_base())  # goes on, and notes what was not noted
    assert read_record(tmp_path)["settings"]["base.codec"] == "pixels"
    with pytest.raises(InputError, match="^base.codec: "):
        again(tmp_path, dataclasses.replace(toy_base(), codec=PixelCodec(2)))


def test_the_layout_of_8_bit_state_is_pinned(tmp_path: Path) -> None:
    begun(tmp_path, toy_base(), optimizer={"optimizer": "adamw8bit"})
    with pytest.raises(InputError, match="^loop.channels_last: "):
        again(tmp_path, toy_base(), optimizer={"optimizer": "adamw8bit"}, loop={"channels_last": True})


def test_text_encoder_and_tokenizer_are_pinned_where_they_are_read(tmp_path: Path) -> None:
    folder = tiny_base("sd15", tmp_path / "tokenizer").save_folder(tmp_path / "sd15")
    base = read_base(str(folder))
    assert base.text is not None and "base.text_encoder" not in base_settings(base, reads_text=False)
    before = base_settings(base, reads_text=True)
    assert before == base_settings(base, reads_text=True)
    assert before["base.text_encoder"] == text_digest(base.text)
    with torch.no_grad():
        next(base.text.encoders[0].model.parameters()).add_(1.0)  # type: ignore[attr-defined]
    words = tokenizer_digest(base.text)
    assert text_digest(base.text) != before["base.text_encoder"] and words == before["base.tokenizer"]
    base.text.encoders[0].pad = 3  # type: ignore[attr-defined]
    assert tokenizer_digest(base.text) != words


def start(own: Base, **changes: Any) -> Concept:
    null, schedule = own.null, own.schedule
    told = {"prediction_type": schedule.prediction_type, "zero_terminal_snr": schedule.zero_terminal_snr,
            "base": base_line(own), "text_embeds": null.pooled, "time_ids": null.time_ids}  # fmt: skip
    return Concept({}, own.config, **{**told, **changes})


def xl() -> Base:
    null = Condition(torch.zeros(1, 5, 8), torch.ones(1, 4), torch.arange(6.0)[None])
    return dataclasses.replace(toy_base(), null=null, sha256="0" * 64)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prediction_type": "v_prediction"}, "prediction_type epsilon as in toy, got v_prediction"),
        ({"zero_terminal_snr": True}, "zero_terminal_snr False as in toy, got True"),
        ({"base": f"toy (sha256 {'1' * 64})"}, "sha256 of its base 000000000000 as in toy, got 111111111111"),
        ({"text_embeds": torch.zeros(1, 4)}, "the empty prompt's pooled vector"),
        ({"text_embeds": torch.zeros(1, 3)}, "the empty prompt's pooled vector"),
        ({"time_ids": torch.zeros(1, 6)}, "the empty prompt's size ids"),
    ],
)
def test_a_start_of_another_base_is_refused(changes: dict[str, Any], told: str) -> None:
    check_start(start(xl()), xl())
    check_start(start(xl(), base="", text_embeds=None, time_ids=None), xl())  # a file that says nothing
    with pytest.raises(InputError) as caught:
        check_start(start(xl(), **changes), xl())
    assert str(caught.value).startswith("start: expected ") and told in str(caught.value)


def test_tables_of_noise_levels_are_the_formulas() -> None:
    a: NoiseSchedule = noise_schedule(prediction_type="v_prediction", zero_terminal_snr=True)
    t, x = torch.tensor([0, 500, 999]), torch.randn(3, 2, 2)
    for _ in range(2):
        levels = a.alphas_cumprod[t].view(3, 1, 1)
        expected = levels.sqrt().to(x) * x + (1.0 - levels).sqrt().to(x) * x
        assert torch.equal(a.add_noise(x, x, t), expected)
        assert a.loss_weight(t, 5.0, x).dtype == torch.float32 and a.loss_weight(t, None, x).tolist() == [1.0] * 3


def test_constants_are_read_without_being_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the constants of this run"):
        read_constants(tmp_path)
    assert not (tmp_path / CONSTANTS).exists()


def picture(name: str, kind: str) -> Picture:
    return Picture(Size(8, 8), kind, f"hash of {name}", path=Path(name), name=name)


@pytest.mark.parametrize("is_listed", [True, False])
def test_pictures_that_packages_read_now_are_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_listed: bool
) -> None:
    """Version 0.1.0 read no HEIC and no JPEG XL: its run goes on without them."""
    monkeypatch.setattr(Plugin, "is_needed", property(lambda plugin: True))
    png, heic, jxl = picture("a.png", "PNG"), picture("b.heic", "HEIF"), picture("c.jxl", "JXL")
    config = run_config(settings(tmp_path))

    def told(now: list[Picture]) -> str:
        with pytest.raises(InputError) as refused:
            check_record(tmp_path, result_settings(config, toy_base(), digest_of(now), 2), now)
        return str(refused.value)

    open_record(tmp_path, config, result_settings(config, toy_base(), digest_of([png, heic]), 2), {}, [png, heic])
    (tmp_path / CHECKPOINTS / "step-00000002").mkdir(parents=True)
    if not is_listed:
        (tmp_path / "pictures.json").unlink()
    found = told([png, heic, jxl])
    assert "got 1 added (c.jxl). pillow-jxl-plugin can read them, which the run began without: move them out" in found
    assert "out of the folder, or pip uninstall pillow-jxl-plugin, to continue it. To train on" in found
    assert "can read them" not in told([png, jxl]) and "can read them" not in told([heic])
    record = json.loads((tmp_path / RECORD).read_text())
    record["settings"]["images"] = digest_of([png])
    (tmp_path / RECORD).write_text(json.dumps(record))
    assert "got 2 added (b.heic, c.jxl). pillow-heif and pillow-jxl-plugin can read" in told([png, heic, jxl])
