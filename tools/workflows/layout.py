"""Positions of everything: columns from left to right, groups and nodes below each other, the note at the left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .graph import Node, Workflow
from .note import note_text

NODE_TITLE = 30
GROUP_TITLE = 40
PADDING = 20
GAP = 20
COLUMN_GAP = 40
SLOT, WIDGET, MULTILINE = 20, 25, 90
WIDTHS = {
    "CLIPTextEncode": 360,
    "GCFG_Sampler": 340,
    "GCFG_Guider": 300,
    "GCFG_Sweep": 420,
    "GCFG_Report": 500,
    "GCFG_ComparePredictions": 500,
    "GCFG_MergeTerms": 230,
    "SaveImage": 420,
    "SaveAnimatedWEBP": 420,
    "VAEDecode": 200,
    "VAEEncode": 200,
    "SetLatentNoiseMask": 220,
}
WIDTH = 310
PREVIEWS = {
    "SaveImage": 400, "SaveAnimatedWEBP": 300, "LoadImage": 260, "GCFG_GuidanceTerm": 108, "GCFG_Guider": 120,
    "GCFG_Sampler": 120, "GCFG_Sweep": 520, "GCFG_Report": 600, "GCFG_ComparePredictions": 200,
}  # fmt: skip
"""Additional room for a picture, or for the formula."""
NOTE_WIDTH, NOTE_LINE, LETTERS_A_LINE = 460, 16, 75


class Frame(NamedTuple):
    """A rectangle: its left upper corner and its size."""

    x: int
    y: int
    width: int
    height: int


@dataclass
class Layout:
    """Frames with their title bars: of the nodes by identity, of the groups with their titles, and of the note."""

    nodes: dict[int, Frame]
    groups: list[tuple[str, Frame]]
    note: Frame


def node_size(node: Node) -> tuple[int, int]:
    """Return width and height of a node, title bar included."""
    name, kind = node.kind.name, node.kind
    width = WIDTHS.get(name, WIDTH)
    rows = max(len(kind.sockets), len(kind.outputs)) * SLOT
    extra = sum(each.has_seed_control or each.has_upload for each in kind.widgets)
    lines = sum(MULTILINE if each.is_multiline else WIDGET for each in kind.widgets) + extra * WIDGET
    height = rows + lines + PREVIEWS.get(name, 0) + 16
    return width, NODE_TITLE + max(height, node.room)


def note_size(text: str) -> tuple[int, int]:
    """Return width and height of a note that shows all of its text."""
    lines = sum(1 + len(line) // LETTERS_A_LINE for line in text.splitlines())
    return NOTE_WIDTH, NODE_TITLE + max(lines * NOTE_LINE + 40, 200)


def arrange(workflow: Workflow) -> Layout:
    """Place every node, group and the note without overlaps."""
    layout = Layout({}, [], Frame(0, 0, *note_size(note_text(workflow))))
    x = layout.note.width + COLUMN_GAP
    for column in workflow.columns:
        sizes = {node.identity: node_size(node) for group in column for node in group.nodes}
        width = max(size[0] for size in sizes.values())
        y = 0
        for group in column:
            top = y
            y += GROUP_TITLE + PADDING // 2
            for node in group.nodes:
                own_width, height = sizes[node.identity]
                layout.nodes[node.identity] = Frame(x + PADDING, y, own_width, height)
                y += height + GAP
            layout.groups.append((group.title, Frame(x, top, width + 2 * PADDING, y - GAP + PADDING - top)))
            y += COLUMN_GAP - GAP
        x += width + 2 * PADDING + COLUMN_GAP
    return layout
