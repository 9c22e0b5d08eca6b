"""The experiment in miniature: which settings are run, where their samples lie, and the arithmetic of its report."""

import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gcfg_core.errors import InputError
from training.miniature.examples import draw_examples, draw_glasses
from training.miniature.experiment import known_settings, wanted_settings
from training.miniature.labelled import CLASSES, METADATA, Labelled, read_labelled
from training.miniature.models import Models
from training.miniature.plots import write_plots
from training.miniature.results import write_results
from training.miniature.rows import GLASSES_NUMBERS, NUMBERS, earlier_results, over_seeds, with_earlier
from training.miniature.samples import Samples, path_of, read_samples, wanted, write_samples
from training.miniature.settings import (
    ASKED,
    BASE,
    COST,
    GCFG,
    LENGTH,
    SAME,
    SHOWN,
    SHOWN_WITH_GLASSES,
    TOON,
    TUNED,
    WITHOUT_CAPTIONS,
    Setting,
    asking,
    cost_settings,
    drift_settings,
    gcfg,
    length_settings,
    main_settings,
    tuned,
    unshown_ways,
)
from training.miniature.spectacles import put_on
from training.miniature.styles import ATTRIBUTES, GLASSES

STARTER = Path(__file__).parents[2] / "starter"
PICTURES = STARTER / "pictures.zip"


def test_samples_are_kept_apart_and_come_back(tmp_path: Path) -> None:
    setting = gcfg(1.5, 3.0)
    models = Models(STARTER, tmp_path)
    paths = {path_of(tmp_path, models, one, seed, 8) for one in (setting, gcfg(1.5, 2.0)) for seed in (0, 1)}
    assert len(paths) == 4
    other = Models(shutil.copytree(STARTER, tmp_path / "other"), tmp_path)
    assert path_of(tmp_path, other, setting, 0, 8) in paths
    changed = Models(shutil.copytree(STARTER, tmp_path / "changed"), tmp_path)
    shutil.copyfile(changed.file("pixel"), changed.file("toon"))
    assert path_of(tmp_path, changed, setting, 0, 8) not in paths
    kept = Samples(torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8), 2.5, 1.0)
    path = path_of(tmp_path, models, setting, 0, 8)
    write_samples(path, kept, setting)
    read = read_samples(path)
    assert torch.equal(read.pixels, kept.pixels) and (read.evaluations, read.seconds) == (2.5, 1.0)
    assert wanted(0, 5) == wanted(0, 9)[:5] and wanted(0, 5) != wanted(1, 5)
    with_glasses = wanted(0, 5, glasses=True)
    assert [row.pop(GLASSES) for row in with_glasses] == ["no", "yes"] * 2 + ["no"] and with_glasses == wanted(0, 5)


def test_only_settings_whose_models_are_there_are_run(tmp_path: Path) -> None:
    models = Models(tmp_path / "starter", tmp_path / "trained")
    assert {one.models for one in wanted_settings(models)} == {(BASE,)}
    for place, names in {
        "starter": ["toon"],
        "trained": ["toon@250", "toon_with_text@250", "toon_same_caption@250", "toon_of_50@1000"],
    }.items():
        (tmp_path / place / "concepts").mkdir(parents=True)
        for name in names:
            (tmp_path / place / "concepts" / f"{name}.safetensors").touch()
    found = wanted_settings(models)
    some = {"GCFG 1.5, 3", "GCFG with toon_of_50@1000", "fine-tuned without captions after 250 steps"}
    assert some <= {one.name for one in found}
    assert len({(one.group, one.name) for one in found}) == len(found) == len({one.as_json() for one in found})
    assert not any("toon_with_text" in one.models for one in found)
    some = wanted_settings(models, ["cost", "GCFG 1.5, 3"])
    assert {one.group for one in some} == {"cost", "GCFG"} and sum(one.group == "GCFG" for one in some) == 1
    with pytest.raises(InputError, match="^pixel: expected a model in concepts/"):
        models.file("pixel")


def test_numbers_over_seeds() -> None:
    numbers = ("kid", "style", "background", "skin", "hair", "control", "nearest", "diversity", "evaluations")
    rows = [{"group": "g", "name": "n", "fd": fd, **dict.fromkeys(numbers, 1.0)} for fd in (1.0, 2.0, 6.0)]
    (row,) = over_seeds(rows)
    assert row["fd"] == 3.0 and row["fd_std"] == pytest.approx(7.0**0.5) and row["seeds"] == 3 and row["kid_std"] == 0.0


def test_rows_of_an_earlier_report_stay_as_long_as_they_are_of_these_models(tmp_path: Path) -> None:
    models, results = Models(STARTER, tmp_path), tmp_path / "results.json"
    digests = models.digests(gcfg(1.5, 3.0))
    assert earlier_results(results, 256)["rows"] == [] == with_earlier([], [], models)

    def row(name: str, seed: int, fd: float, **others: str) -> dict[str, object]:
        told = {"group": "g", "name": name, "seed": seed, "fd": fd, "setting": "{}"}
        return {**told, "models": {**digests, **others}}

    gone, other = row("gone", 0, 1.0, **{"toon@4000": "0"}), row("other", 0, 1.0, toon="0")
    redefined = {**row("GCFG 1.5, 3", 0, 1.0), "group": GCFG}
    rows = [row("a", 0, 1.0), row("a", 1, 2.0), gone, other, redefined]
    results.write_text(json.dumps({"count": 256, "rows": rows}))
    found = with_earlier([row("a", 1, 5.0), row("b", 0, 3.0)], earlier_results(results, 256)["rows"], models)
    assert [(one["name"], one["seed"], one["fd"]) for one in found] == [
        ("a", 0, 1.0), ("a", 1, 5.0), ("gone", 0, 1.0), ("b", 0, 3.0),
    ]  # fmt: skip
    assert earlier_results(results, 128) == {"rows": [], "drift": {}}


def test_rows_stand_in_the_order_of_the_settings_whether_their_models_are_there_or_not(tmp_path: Path) -> None:
    models = Models(STARTER, tmp_path)
    known = [gcfg(1.5, 3.0), gcfg(1.0, 1.0), *length_settings([125]), *reversed(main_settings())]
    gone = dict.fromkeys((f"{TOON}@125", f"{TUNED}@125", f"{SAME}@125", WITHOUT_CAPTIONS), "0")
    digests = {**models.digests(gcfg(1.5, 3.0)), **gone}
    rows = [
        {"group": one.group, "name": one.name, "seed": 0, "setting": one.as_json(), "models": digests} for one in known
    ]
    expected = [one.name for one in (*main_settings(), *length_settings([125]))]
    assert [one["name"] for one in with_earlier(rows[:1], rows[1:], models)] == expected


def test_every_plot_is_drawn_from_the_settings_it_knows(tmp_path: Path) -> None:
    settings = [*main_settings(), *cost_settings(), *drift_settings(), *length_settings([125, 250])]
    unshown = [one for same in unshown_ways().values() for one in same]
    numbers = {name: 0.5 + 0.1 * index for index, name in enumerate((*NUMBERS, *GLASSES_NUMBERS))}
    rows = [{"group": one.group, "name": one.name, **numbers} for one in (*settings, *unshown)]
    drift = {"timesteps": [0.0, 999.0], TUNED: [0.1, 0.2], WITHOUT_CAPTIONS: [0.2, 0.3]}
    floor = {"fd": 1.0, "kid": 0.003}
    drawn = write_plots(tmp_path, over_seeds(rows), floor, drift)
    assert {path.name for path in drawn} == {
        "fidelity_control.png", "cost.png", "glasses.png", "length.png", "drift.png",
    }  # fmt: skip
    sizes = {path: path.stat().st_size for path in drawn}
    few = over_seeds(row for row in rows if row["group"] in (GCFG, COST, LENGTH) or row["name"].endswith(ASKED))
    again = write_plots(tmp_path, few, floor, {"timesteps": [0.0, 999.0], TUNED: [0.1, 0.2]})
    assert all(path.stat().st_size < sizes[path] for path in again if path.stem in ("fidelity_control", "drift"))


def test_examples_stand_below_a_real_picture_of_what_was_asked_for() -> None:
    asked = wanted(0, 3)
    labels = {name: torch.tensor([CLASSES[name].index(asked[i][name]) for i in (2, 0)]) for name in ATTRIBUTES}
    real = Labelled(torch.stack([torch.full((3, 96, 96), value, dtype=torch.uint8) for value in (30, 10)]), labels)
    pixels = torch.stack([torch.full((3, 96, 96), value, dtype=torch.uint8) for value in (110, 120, 130)])
    drawn = np.array(draw_examples(real, asked, {"one": pixels}).convert("L"))
    top, left = ({value: int(np.median((drawn == value).nonzero()[axis])) for value in (10, 30, 110, 130)}
                 for axis in (0, 1))  # fmt: skip
    assert left[10] == left[110] < left[30] == left[130] and top[10] == top[30] < top[110] == top[130]
    assert (drawn == 120).sum() < 96 * 96 <= (drawn == 110).sum()  # nobody drew what the second prompt asks for


def test_examples_with_glasses_are_of_the_prompts_that_ask_for_them() -> None:
    pixels = torch.stack([torch.full((3, 96, 96), value, dtype=torch.uint8) for value in (110, 120, 130, 140)])
    drawn = np.array(draw_glasses(wanted(0, 4, glasses=True), {"one": pixels}).convert("L"))
    assert all((drawn == value).sum() >= 96 * 96 for value in (120, 140))
    assert all((drawn == value).sum() < 96 * 96 for value in (110, 130))


def test_what_the_examples_show_is_among_the_settings() -> None:
    names = {one.name for one in known_settings({TOON, TUNED, BASE, WITHOUT_CAPTIONS})}
    assert {*SHOWN, *SHOWN_WITH_GLASSES} <= names and not {*SHOWN} & {*SHOWN_WITH_GLASSES}


def test_a_setting_names_each_of_its_models_once() -> None:
    assert gcfg(1.0, 1.0).models == (BASE, TOON)
    assert Setting("concept alone", "g", TOON).models == (TOON,)


def first(source: Path, folder: Path, count: int) -> Path:
    """A folder with the first pictures of each part of an archive."""
    with zipfile.ZipFile(source) as archive:
        for name in archive.namelist():
            part, _, file = name.rpartition("/")
            if file == METADATA:
                lines = archive.read(name).decode().splitlines()[:count]
                (folder / part).mkdir(parents=True)
                (folder / name).write_text("\n".join(lines) + "\n")
                for line in lines:
                    archive.extract(f"{part}/{json.loads(line)['file_name']}", folder)
    return folder


@dataclass(frozen=True)
class Reported:
    """A report on real pictures in the place of sampled ones."""

    models: Models
    real: Path
    samples: Path
    output: Path
    text: str

    @property
    def results(self) -> dict[str, Any]:
        return json.loads((self.output / "results.json").read_text())

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in self.results["rows"]}

    @property
    def page(self) -> str:
        return (self.output / "results.md").read_text()


COUNT = 60


@pytest.fixture(scope="module", autouse=True)
def _drift_of_few_pictures() -> Iterator[None]:
    """What drift is measured on: no test asks for its size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.miniature.results.DRIFT_PICTURES", 4)
        yield


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Held-out toons as GCFG's, every second one with spectacles where they are asked for; pixel art as the others."""
    folder = tmp_path_factory.mktemp("reported")
    models, samples = Models(STARTER, folder / "trained"), folder / "samples"
    real = first(PICTURES, folder / "real", 2 * COUNT)
    toons, others = (read_labelled(real, f"{part}/test").pixels[COUNT:] for part in ("toon", "pixel"))
    worn = toons.clone()
    worn[1::2] = put_on(worn[1::2], seed=1)
    samples.mkdir()
    for setting, pixels in ((gcfg(1.5, 3.0), toons), (tuned(2.0), others), (asking(gcfg(1.5, 5.0)), worn)):
        write_samples(path_of(samples, models, setting, 0, COUNT), Samples(pixels, 3.0, 1.0), setting)
    text = write_results(models, real, samples, folder / "results", COUNT, seeds=1)
    return Reported(models, real, samples, folder / "results", text)


def test_the_report_tells_the_concept_from_other_pictures(reported: Reported) -> None:
    """The toon's own are near, in style and no copies; others are not."""
    toon, pixel = reported.rows["GCFG 1.5, 3"], reported.rows["fine-tuned, CFG 2"]
    assert toon["style"] > 0.98 and pixel["style"] < 0.02
    assert toon["fd"] < pixel["fd"] / 10 and toon["kid"] < pixel["kid"] / 10
    assert 0.5 < toon["nearest"] < 2.0 < pixel["nearest"] and 0.7 < toon["diversity"] < 1.3
    shown = read_labelled(reported.real, "toon/test").labels["background"][COUNT:].tolist()
    told = [asked["background"] for asked in wanted(0, COUNT)]
    chance = sum(CLASSES["background"][b] == asked for b, asked in zip(shown, told, strict=True)) / COUNT
    assert toon["background"] == pytest.approx(chance, abs=0.02)


def test_the_report_tells_who_wears_glasses(reported: Reported) -> None:
    worn, results = reported.rows["GCFG 1.5, 5, glasses"], reported.results
    assert worn["worn_asked"] > 0.9 and worn["worn_unasked"] < 0.1 and worn["style"] > 0.98
    assert worn["glasses"] == pytest.approx((worn["worn_asked"] + 1.0 - worn["worn_unasked"]) / 2.0)
    assert results["glasses_found"] > 0.8 and results["glasses_imagined"] < 0.05
    assert results["floor_with_glasses"]["fd"] > results["floor"]["fd"]
    assert f"have {results['floor_with_glasses']['fd']:.2f} and" in reported.page


def test_the_page_has_the_tables_and_what_was_drawn(reported: Reported) -> None:
    others, of_glasses = reported.text.split("\n\n")
    assert of_glasses.startswith("| setting | glasses where asked for |") and "| GCFG 1.5, 5, glasses |" in of_glasses
    assert "| GCFG 1.5, 3 |" in others and "glasses" not in others
    assert reported.page.endswith(reported.text) and f"{COUNT} pictures for each" in reported.page
    drawn = {path.name for path in reported.output.glob("*.png")}
    shown = re.findall(r"!\[[a-z ]+\]\((.+)\)", reported.page)
    assert drawn == {"fidelity_control.png", "glasses.png", "drift.png"} == set(shown)


def test_a_report_keeps_the_drift_of_models_that_are_gone(reported: Reported, tmp_path: Path) -> None:
    output = shutil.copytree(reported.output, tmp_path / "results")
    results = reported.results
    gone = {"group": "g", "name": "gone", "seed": 0, **dict.fromkeys(NUMBERS, 0.5), "setting": "{}"}
    digests = reported.models.digests(gcfg(1.5, 3.0))
    row = {**gone, "models": {**digests, WITHOUT_CAPTIONS: "0"}}  # measured where that model was
    line = results["drift"][TUNED]
    told = {
        **results,
        "rows": [*results["rows"], row],
        "drift": {**results["drift"], WITHOUT_CAPTIONS: line, "unknown": line},
    }
    (output / "results.json").write_text(json.dumps(told))
    write_results(reported.models, reported.real, reported.samples, output, COUNT, seeds=1)
    assert json.loads((output / "results.json").read_text())["drift"] == {**results["drift"], WITHOUT_CAPTIONS: line}


def test_a_report_on_nothing_is_refused(reported: Reported, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sampled pictures"):
        write_results(reported.models, reported.real, reported.samples, tmp_path, COUNT, seeds=1, only=["cost"])
