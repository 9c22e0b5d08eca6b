"""Prepare a release to the Comfy Registry: python -m tools.release COMMAND.

publisher ID ADDRESS   write what only the publisher knows: the publisher's id on the registry and the repository's
                       address (https://github.com/OWNER/NAME) into pyproject.toml and README.md; safe to repeat
check [TAG]            name everything that prevents publishing this version, under this tag if there is one
notes                  print the section of CHANGELOG.md about this version
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
PICTURES = {"Icon": "docs/pictures/icon.png", "Banner": "docs/pictures/banner.png"}
ADDRESS = re.compile(r"https://github\.com/[\w-]+/[\w.-]+")
ID = re.compile(r"[A-Za-z0-9][\w.-]*")
VERSION = re.compile(r"\d+\.\d+\.\d+")
CLONE = re.compile(r"git clone (<[^>]+>|\S+) comfyui-gcfg")
"""The line in README.md."""


class ReleaseError(Exception):
    """The command cannot be done; the message gives the reason and the remedy."""


def set_publisher(root: Path, publisher: str, address: str) -> None:
    """Write a publisher's values into pyproject.toml and into the `git clone` line of README.md.

    Raises:
        ReleaseError: the id or address has another form, or a file has no place for it.
    """
    address = address.rstrip("/").removesuffix(".git")
    if not ADDRESS.fullmatch(address):
        raise ReleaseError(f"address: expected https://github.com/OWNER/NAME, got {address!r}")
    if not ID.fullmatch(publisher):
        raise ReleaseError(f"id: expected what follows the @ on the registry's profile page, got {publisher!r}")
    raw = address.replace("https://github.com/", "https://raw.githubusercontent.com/")
    values = {
        "Repository": address,
        "Documentation": f"{address}#readme",
        "Issues": f"{address}/issues",
        "PublisherId": publisher,
        **{key: f"{raw}/HEAD/{path}" for key, path in PICTURES.items()},
    }
    text = _read(root / "pyproject.toml")
    for key, value in values.items():
        text = _replace(text, rf'^{key} = "[^"]*"', f'{key} = "{value}"', f"{key} in pyproject.toml")
    readme = _replace(
        _read(root / "README.md"), CLONE.pattern, f"git clone {address} comfyui-gcfg", "git clone in README.md"
    )
    (root / "pyproject.toml").write_text(text, encoding="utf-8")
    (root / "README.md").write_text(readme, encoding="utf-8")


def problems(root: Path, tag: str | None = None) -> list[str]:
    """Return everything that prevents publishing, one sentence each."""
    data = tomllib.loads(_read(root / "pyproject.toml"))
    project, sentences = data["project"], []
    version = project["version"]
    if not project["urls"]["Repository"]:
        sentences.append("pyproject.toml does not name the repository: python -m tools.release publisher ID ADDRESS")
    if not VERSION.fullmatch(version):
        sentences.append(f"version: the registry takes X.Y.Z, got {version!r}")
    if tag is not None and tag != f"v{version}":
        sentences.append(f"tag: expected v{version}, as in pyproject.toml, got {tag!r}")
    if not notes(root):
        sentences.append(f"CHANGELOG.md says nothing under '## {version}'")
    if (listed := _requirements(root)) != project["dependencies"]:
        sentences.append(f"dependencies: requirements.txt lists {listed}, pyproject.toml {project['dependencies']}")
    return sentences


def notes(root: Path) -> str:
    """Return CHANGELOG.md's section about this version; empty if there is none."""
    version = re.escape(tomllib.loads(_read(root / "pyproject.toml"))["project"]["version"])
    section = re.search(rf"^## {version}\b[^\n]*\n(.*?)(?=^## |\Z)", _read(root / "CHANGELOG.md"), re.M | re.S)
    return section[1].strip() if section else ""


def _requirements(root: Path) -> list[str]:
    lines = (line.strip() for line in _read(root / "requirements.txt").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _replace(text: str, pattern: str, new: str, name: str) -> str:
    changed, count = re.subn(pattern, lambda _: new, text, flags=re.MULTILINE)
    if count != 1:
        raise ReleaseError(f"{name}: expected one place to write it, got {count}")
    return changed


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    match arguments:
        case ["publisher", publisher, address]:
            try:
                set_publisher(ROOT, publisher, address)
            except ReleaseError as error:
                print(error, file=sys.stderr)
                return 1
        case ["check"] | ["check", _]:
            sentences = problems(ROOT, *arguments[1:])
            print("\n".join(sentences) or "Ready to be published.")
            return int(bool(sentences))
        case ["notes"]:
            print(notes(ROOT))
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
