"""Guidance Report, run as ComfyUI runs it."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import folder_paths
import pytest
import torch

from rigs.graphs import gcfg
from rigs.micro import micro_cond, micro_latent, micro_model
from rigs.probe import sampled

C, D, U = micro_cond(1), micro_cond(2), micro_cond(3)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> Iterator[Path]:
    """ComfyUI's output and temp folders of this test, both empty."""
    before = folder_paths.get_output_directory(), folder_paths.get_temp_directory()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    folder_paths.set_temp_directory(str(tmp_path / "temp"))
    yield tmp_path
    folder_paths.set_output_directory(before[0])
    folder_paths.set_temp_directory(before[1])


@pytest.fixture(scope="module")
def trace(pack: Any) -> Any:
    """Of a run of two terms with a batch of two."""
    guider = gcfg(
        pack, micro_model(0), U, {"positive": C, "weight": 3.0, "label": "control"},
        {"model": micro_model(5), "weight": 2.0, "label": "concept", "end_percent": 0.6},
    )  # fmt: skip
    sampled(guider, torch.zeros(2, 4, 8, 8), steps=5)
    return guider.trace


class TestOutputs:
    def test_a_picture_and_the_table(self, pack: Any, trace: Any) -> None:
        picture, text = pack.run("GCFG_Report", trace=trace, width=800)
        assert picture.shape[0] == 1 and picture.shape[2:] == (800, 3)
        assert text == pack.module("gcfg_core.trace.table").trace_markdown(trace)
        assert trace.formula in text and "| control | 5 of 5 calls | 3 |" in text

    def test_the_node_shows_both(self, pack: Any, trace: Any, folders: Path) -> None:
        shown = pack.ui("GCFG_Report", trace=trace, width=512)
        (image,) = shown["images"]
        assert (folders / "temp" / image["subfolder"] / image["filename"]).is_file()
        assert shown["text"] == (pack.run("GCFG_Report", trace=trace, width=512)[1],)

    @pytest.mark.parametrize("after", [micro_latent(0), torch.zeros(1, 8, 8, 3)])
    def test_what_it_waits_for_changes_nothing(self, pack: Any, trace: Any, after: Any) -> None:
        alone, waiting = pack.run("GCFG_Report", trace=trace), pack.run("GCFG_Report", trace=trace, after=after)
        assert torch.equal(alone[0], waiting[0]) and alone[1] == waiting[1]

    def test_the_trace_stays_as_it_was(self, pack: Any, trace: Any) -> None:
        """A report that is connected later, or drawn twice, needs no new run."""
        before = list(trace.records)
        pack.run("GCFG_Report", trace=trace, draw="everything", save="csv and json")
        assert trace.records == before and len(before) == 5

    def test_before_sampling_it_says_what_to_do(self, pack: Any, folders: Path) -> None:
        guider = gcfg(pack, micro_model(0), U, {"positive": C})
        picture, text = pack.run("GCFG_Report", trace=guider.trace, save="csv")
        assert picture.shape[2:] == (1200, 3) and "'after'" in text
        assert not (folders / "output").exists()

    @pytest.mark.parametrize("draw", ["overview", "everything", "pushes", "weights and sizes", "directions", "cost"])
    def test_a_run_without_terms(self, pack: Any, draw: str) -> None:
        guider = gcfg(pack, micro_model(0), U)
        sampled(guider, torch.zeros(1, 4, 8, 8), steps=2)
        picture, text = pack.run("GCFG_Report", trace=guider.trace, draw=draw)
        assert float(picture.std()) > 0.0 and "2 calls, 2 evaluations (1 per call)" in text


class TestTheme:
    @staticmethod
    def is_light(pack: Any, trace: Any, theme: str) -> bool:
        return float(pack.run("GCFG_Report", trace=trace, theme=theme, draw="cost", width=512)[0][0, 0, 0, 0]) > 0.5

    @pytest.mark.parametrize(
        ("settings", "light"),
        [
            (None, False),
            ("{}", False),
            ("not json", False),
            ('["a list"]', False),
            ('{"Comfy.ColorPalette": "light"}', True),
            ('{"Comfy.ColorPalette": "nord"}', False),
            ('{"Comfy.ColorPalette": "own", "Comfy.CustomColorPalettes": {"own": {"light_theme": true}}}', True),
            ('{"Comfy.ColorPalette": "custom_own", "Comfy.CustomColorPalettes": {"own": {"light_theme": true}}}', True),
            ('{"Comfy.ColorPalette": "own", "Comfy.CustomColorPalettes": {"own": {}}}', False),
        ],
    )  # fmt: skip
    def test_auto_is_that_of_the_interface(
        self, pack: Any, trace: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str | None, light: bool
    ) -> None:
        monkeypatch.setattr(folder_paths, "get_user_directory", lambda: str(tmp_path))
        if settings is not None:
            (tmp_path / "default").mkdir()
            (tmp_path / "default" / "comfy.settings.json").write_text(settings)
        assert self.is_light(pack, trace, "auto") == light

    def test_chosen(self, pack: Any, trace: Any) -> None:
        assert self.is_light(pack, trace, "light") and not self.is_light(pack, trace, "dark")


class TestSaving:
    def test_nothing_unless_asked(self, pack: Any, trace: Any, folders: Path) -> None:
        pack.run("GCFG_Report", trace=trace)
        assert not (folders / "output").exists()

    def test_csv_and_json_under_one_number(self, pack: Any, trace: Any, folders: Path) -> None:
        for number in (1, 2):
            _, text = pack.run("GCFG_Report", trace=trace, save="csv and json", filename_prefix="mine/guidance")
            names = [f"output/mine/guidance_{number:05}_.{kind}" for kind in ("csv", "json")]
            assert text.endswith(f"Saved: {', '.join(names)}\n")
            table, content = ((folders / name).read_text(encoding="utf-8") for name in names)
            assert len(list(csv.reader(io.StringIO(table)))) == 1 + 5 * 2
            assert json.loads(content)["terms"] == ["control", "concept"]

    @pytest.mark.parametrize("kind", ["csv", "json"])
    def test_one_of_them(self, pack: Any, trace: Any, folders: Path, kind: str) -> None:
        pack.run("GCFG_Report", trace=trace, save=kind)
        assert [path.name for path in (folders / "output" / "gcfg").iterdir()] == [f"report_00001_.{kind}"]

    def test_not_outside_the_output_folder(self, pack: Any, trace: Any, folders: Path) -> None:
        with pytest.raises(Exception, match="outside the output folder"):
            pack.run("GCFG_Report", trace=trace, save="csv", filename_prefix="../escaped")
        assert not list(folders.glob("escaped*"))


def test_without_matplotlib_it_says_what_to_install(pack: Any, trace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(f"{pack.package}.nodes.drawing")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RuntimeError, match="pip install matplotlib"):
        pack.run("GCFG_Report", trace=trace)


def test_pyplot_is_not_touched(pack: Any, trace: Any) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    pack.run("GCFG_Report", trace=trace)
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
