"""Graphs in the form that the web interface posts them."""

from typing import Any

NODES = {"term": "GCFG_GuidanceTerm", "modify": "GCFG_ModifyTerm", "merge": "GCFG_MergeTerms", "guider": "GCFG_Guider"}


def node(kind: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    """Make one node of a prompt; a tuple among its inputs is a link (node id, output)."""
    linked = {name: list(value) if isinstance(value, tuple) else value for name, value in inputs.items()}
    return {"class_type": NODES.get(kind, kind), "inputs": linked, "_meta": {"title": title}}


def papers_graph(**control: Any) -> dict[str, dict[str, Any]]:
    """Make a graph of concept (1) and control (2) on a guider (3); the arguments are further inputs of the control
    term."""
    return {
        "1": node("term", "Concept", model=("11", 0), weight=2.5, label="concept"),
        "2": node(
            "term", "Control", terms=("1", 0), **({"positive": ("12", 0), "weight": 2.5, "label": "control"} | control)
        ),
        "3": node("guider", "GCFG Guider", model=("10", 0), conditioning=("13", 0), terms=("2", 0), rescale=0.0),
    }
