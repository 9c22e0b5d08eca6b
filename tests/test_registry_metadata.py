"""What the Comfy Registry shows of the pack, and that a release which lacks something is held back."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rigs.host import ROOT

tomllib = pytest.importorskip("tomllib", reason="a release is made with Python 3.11 or newer")
from tools import release  # noqa: E402

ADDRESS = "https://github.com/somebody/some-pack"
RAW = "https://raw.githubusercontent.com/somebody/some-pack/HEAD"
FILES = ("pyproject.toml", "README.md", "CHANGELOG.md", "requirements.txt")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in FILES:
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def read(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_registry_reads_everything_that_is_not_the_publishers_own():
    data = read(ROOT)
    project, comfy = data["project"], data["tool"]["comfy"]
    assert re.fullmatch(r"[a-z][\w.-]{0,99}", project["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["description"] and (ROOT / project["license"]["file"]).is_file()
    assert re.fullmatch(r">=\d+\.\d+", project["requires-python"])
    assert project["classifiers"] == ["Operating System :: OS Independent"]
    assert re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"]), "other forms are dropped by the registry's tool"
    assert comfy["DisplayName"] and comfy["PublisherId"]
    assert "build-system" not in data, "this is no package to build"


def test_comfyui_reads_it():
    from comfy_config import config_parser

    config = config_parser.extract_node_configuration(str(ROOT))
    assert config is not None
    assert config.project.name == read(ROOT)["project"]["name"]
    assert config.project.supported_os == ["OS Independent"]
    assert config.project.supported_comfyui_version == read(ROOT)["tool"]["comfy"]["requires-comfyui"]
    assert config.tool_comfy.web is None, "WEB_DIRECTORY names the folder already; twice is loaded twice"


def test_icon_and_banner_have_the_registrys_shapes():
    with Image.open(ROOT / release.PICTURES["Icon"]) as icon, Image.open(ROOT / release.PICTURES["Banner"]) as banner:
        assert icon.width == icon.height <= 400
        assert banner.width * 9 == banner.height * 21
    assert sum((ROOT / path).stat().st_size for path in release.PICTURES.values()) < 200_000


def test_the_publishers_values_are_written_everywhere_and_again(copy):
    for address in ("https://github.com/else/where", f"{ADDRESS}.git"):
        release.set_publisher(copy, "somebody", address)
    data = read(copy)
    assert data["project"]["urls"] == {
        "Repository": ADDRESS, "Documentation": f"{ADDRESS}#readme", "Issues": f"{ADDRESS}/issues",
    }  # fmt: skip
    comfy = data["tool"]["comfy"]
    assert comfy["PublisherId"] == "somebody"
    assert (comfy["Icon"], comfy["Banner"]) == tuple(f"{RAW}/docs/pictures/{name}.png" for name in ("icon", "banner"))
    assert f"git clone {ADDRESS} comfyui-gcfg" in (copy / "README.md").read_text(encoding="utf-8")
    assert "else/where" not in "".join((copy / name).read_text(encoding="utf-8") for name in FILES)


@pytest.mark.parametrize(
    ("publisher", "address"), [("some body", ADDRESS), ("somebody", "git@github.com:a/b"), ("", "")]
)
def test_values_of_another_form_are_refused_and_change_nothing(copy, publisher, address):
    with pytest.raises(release.ReleaseError, match="expected"):
        release.set_publisher(copy, publisher, address)
    assert read(copy) == read(ROOT)


def test_a_file_without_the_place_is_named(copy):
    change(copy / "pyproject.toml", "Banner = ", "Flag = ")
    with pytest.raises(release.ReleaseError, match="Banner in pyproject.toml"):
        release.set_publisher(copy, "somebody", ADDRESS)


def test_a_complete_release_is_let_through(copy):
    release.set_publisher(copy, "somebody", ADDRESS)
    version = read(copy)["project"]["version"]
    assert release.problems(copy, f"v{version}") == []


def test_each_thing_that_is_missing_is_named(copy):
    change(copy / "requirements.txt", "matplotlib", "seaborn")
    change(copy / "pyproject.toml", f'version = "{read(copy)["project"]["version"]}"', 'version = "9.9"')
    if read(copy)["project"]["urls"]["Repository"]:
        change(copy / "pyproject.toml", read(copy)["project"]["urls"]["Repository"], "")
    found = "\n".join(release.problems(copy, "v9.8"))
    for part in ("repository", "X.Y.Z", "v9.9", "CHANGELOG.md", "seaborn"):
        assert part in found
    assert len(found.splitlines()) == 5


def test_notes_are_this_versions_alone(copy):
    version = read(copy)["project"]["version"]
    change(copy / "CHANGELOG.md", f"## {version}\n", f"## {version}\n\n- New here.\n\n## 0.0.9\n\n- Old.\n")
    assert release.notes(copy) == "- New here."
