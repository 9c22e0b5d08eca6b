"""The route that describes a graph, in a real ComfyUI server: it answers, and nothing that is posted breaks it."""

import json
import sys
import urllib.error
import urllib.request
from types import SimpleNamespace
from typing import Any

import pytest

from rigs.host import ROOT
from rigs.posted import papers_graph
from rigs.server import ComfyServer

PATH = "/gcfg/describe"
NAMES = sorted(path.stem for path in (ROOT / "workflows" / "api").glob("*.json"))
DESCRIBED = ("GCFG_GuidanceTerm", "GCFG_Guider", "GCFG_Sampler")


@pytest.fixture(scope="module", autouse=True)
def logged_before(server: ComfyServer) -> int:
    """The length of the log when these tests begin: others use the server too."""
    return len(server.log_text())


def post(server: ComfyServer, data: bytes) -> tuple[int, Any]:
    """Status and JSON of the answer to a body."""
    request = urllib.request.Request(server.url + PATH, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def ask(server: ComfyServer, prompt: Any, *nodes: str) -> dict[str, Any]:
    status, answer = post(server, json.dumps({"prompt": prompt, "nodes": nodes}).encode())
    assert status == 200, answer
    return answer["nodes"]


def test_the_papers_graph(server):
    shown = ask(server, papers_graph(), "1", "2", "3")
    assert shown["3"]["formula"][1] == "+ 2.5 * (concept(null) - base(null))"
    assert shown["3"]["cost"] == "3 evaluations per step, 2 models"
    assert shown["1"]["curve"] == [[0.0, 2.5], [1.0, 2.5]]


@pytest.mark.parametrize("name", NAMES)
def test_every_workflow_is_described(server, name):
    prompt = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    kinds = {node_id: node["class_type"] for node_id, node in prompt.items() if node["class_type"] in DESCRIBED}
    shown = ask(server, prompt, *kinds)
    for node_id, kind in kinds.items():
        assert shown[node_id].keys() >= ({"curve"} if kind == DESCRIBED[0] else {"formula", "cost"}), shown[node_id]
        assert not shown[node_id]["notes"]


def test_a_mistake_is_an_answer(server):
    shown = ask(server, papers_graph(start_percent=0.9, end_percent=0.1), "1", "2", "3")
    assert "curve" in shown["1"]
    assert "swap them" in shown["2"]["error"] and "swap them" in shown["3"]["error"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 200_000, 400),
        (b"[]", 400),
        (b'{"prompt": {"1": []}, "nodes": ["1"]}', 400),
        (b'{"prompt": {}, "nodes": [{}]}', 400),
        (b" " * 3_000_000, 413),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_question_is_refused_in_words(server, data, status):
    answered, body = post(server, data)
    assert answered == status
    assert body["error"] and "Traceback" not in body["error"]


def test_a_second_copy_of_the_pack_adds_no_second_route(pack, monkeypatch):
    """aiohttp refuses a path that is added twice, and ComfyUI would not start."""
    from aiohttp import web

    instance = SimpleNamespace(routes=web.RouteTableDef())
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=instance)))
    for _ in range(2):
        pack.module("nodes.live.route").add_routes()
    web.Application().add_routes(instance.routes)
    assert [route.path for route in instance.routes] == [PATH]


@pytest.fixture
def describe_all(pack, monkeypatch):
    """Prompt, node ids and what is to be replaced in its module, to what is shown."""
    module, posted = pack.module("nodes.live.describe_all"), pack.module("nodes.live.posted")

    def describe(prompt: Any, *nodes: str, **replaced: Any) -> dict[str, Any]:
        for name, value in replaced.items():
            monkeypatch.setattr(module, name, value)
        return module.describe_all(posted.read_posted({"prompt": prompt, "nodes": list(nodes)}))

    return describe


def test_a_defect_on_one_node_leaves_the_others(describe_all, pack):
    describe = pack.module("nodes.live.describe").describe

    def broken(posted: Any, node_id: str) -> Any:
        if node_id == "1":
            raise RuntimeError("broken")
        return describe(posted, node_id)

    shown = describe_all(papers_graph(), "1", "2", "3", describe=broken)
    assert "the log says why" in shown["1"]["error"]
    assert "curve" in shown["2"] and "formula" in shown["3"]


def test_the_server_is_not_held_for_long(describe_all):
    assert "too large" in describe_all(papers_graph(), "1", MOST_SECONDS=-1.0)["1"]["waits"]


@pytest.mark.parametrize("value", [10**400, -(10**400), 10**5000], ids=["400", "-400", "5000"])
def test_huge_whole_numbers_are_refused_in_words(describe_all, value):
    shown = describe_all(papers_graph(weight=value), "2", "3")
    assert all("weight" in answer["error"] and len(answer["error"]) < 300 for answer in shown.values())


def test_help_and_languages_are_served(server):
    docs = ROOT / "web" / "docs"
    for path in (path for path in docs.rglob("*") if path.is_file()):
        name = path.relative_to(docs).as_posix()
        assert server.client.get(f"/extensions/comfyui-gcfg/docs/{name}") == path.read_bytes()
    languages = json.loads(server.client.get("/i18n"))
    for language in ("en", "ja", "zh"):
        assert languages[language]["nodeDefs"]["GCFG_GuidanceTerm"]["display_name"]


def test_no_traceback_was_logged(server, logged_before):
    assert "could not be described" not in server.log_text()[logged_before:]
