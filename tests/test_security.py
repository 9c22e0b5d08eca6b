"""What SECURITY.md promises, held against the code."""

import ast
import os
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rigs.host import ROOT

OUTSIDE = {
    "aiohttp", "asyncio", "ftplib", "http", "httpx", "huggingface_hub", "requests", "smtplib", "socket", "socketserver",
    "ssl", "urllib", "urllib3", "websocket", "websockets", "xmlrpc",
}  # fmt: skip
PROGRAMS = {"ctypes", "dill", "marshal", "pip", "pty", "runpy", "shelve", "subprocess", "cloudpickle"}
ROUTE = Path("nodes/live/route.py")
NOT_SHIPPED = Path("training/miniature")


def sources() -> list[Path]:
    """Every Python file that people get."""
    found = [
        path.relative_to(ROOT) for name in ("nodes", "gcfg_core", "training") for path in (ROOT / name).rglob("*.py")
    ]
    return [Path("__init__.py"), *sorted(path for path in found if NOT_SHIPPED not in path.parents)]


def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module).split(".")[0])
    return names


def calls(name: str) -> Iterator[tuple[Path, str, ast.Call]]:
    """Every call of a function or method of this name: where, on what, and the call."""
    for path in sources():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                on, _, called = ast.unparse(node.func).rpartition(".")
                if called == name:
                    yield path, on, node


def keywords(call: ast.Call) -> dict[str, str]:
    return {str(keyword.arg): ast.unparse(keyword.value) for keyword in call.keywords}


def test_nothing_connects_or_starts_a_program() -> None:
    found = {path: names for path in sources() if (names := imported(path) & (OUTSIDE | PROGRAMS))}
    assert found == {ROUTE: {"aiohttp"}}, "the route's own answers, and nothing else"


@pytest.mark.parametrize("name", ["eval", "exec", "compile", "system", "popen", "__import__"])
def test_no_text_is_run(name: str) -> None:
    named = {str(path) for path, on, _ in calls(name) if on in ("", "os", "builtins")}
    assert not named


def test_pickles_are_read_as_weights_alone() -> None:
    loads = [(path, on, keywords(call)) for path, on, call in calls("load") if on in ("torch", "pickle")]
    assert loads
    assert all(on == "torch" and given.get("weights_only") == "True" for _, on, given in loads), loads
    assert not [path for path, on, _ in calls("loads") if on in ("torch", "pickle")]


def test_no_hub_is_asked() -> None:
    found = [keywords(call) for path, on, call in calls("from_pretrained") if path.parts[0] == "training"]
    assert found and all(given.get("local_files_only") == "True" for given in found)
    assert not [
        path for name in ("hf_hub_download", "snapshot_download", "from_single_file") for path, *_ in calls(name)
    ]


class Evil:
    """What an attacker pickles: a call, here of one that leaves a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.proof),)


@pytest.mark.parametrize("name", ["concept.pt", "concept.bin", "model.ckpt"])
def test_code_in_a_file_is_not_run(pack: Any, tmp_path: Path, name: str) -> None:
    path, proof = tmp_path / name, tmp_path / "it ran"
    content = {"weight": torch.zeros(2), "callback": Evil(proof)}
    if name.endswith(".ckpt"):
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path)
    loader, error = pack.module("nodes.loading.concept_loader"), pack.module("gcfg_core.errors").ConceptFileError
    with pytest.raises(error, match="It was not run"):
        loader.load_model_file(str(path))
    assert not proof.exists()


def test_the_page_asks_the_own_server_one_thing_and_shows_text() -> None:
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "web").rglob("*.js")}
    everything = "\n".join(scripts.values())
    assert re.findall(r"\w*fetch\w*\((?=\"|`|')[^,)]*", everything, re.IGNORECASE) == ['fetchApi("/gcfg/describe"']
    assert set(re.findall(r"https?://[^\"'`\s]+", everything)) <= {"http://www.w3.org/2000/svg"}
    forbidden = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function")
    elsewhere = ("XMLHttpRequest", "WebSocket", "EventSource", "sendBeacon", "import(")
    assert not [word for word in (*forbidden, *elsewhere) if word in everything]
