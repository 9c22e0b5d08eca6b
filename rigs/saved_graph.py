"""Read a workflow that the web interface saved, as the interface itself reads it."""

from dataclasses import dataclass
from typing import Any, NamedTuple

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
NOTES = ("Note", "MarkdownNote")
UPLOADS = ("image_upload", "video_upload", "animated_image_upload")
NODE_TITLE = 30


class Box(NamedTuple):
    """A rectangle on the canvas."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, other: "Box") -> bool:
        return (
            self.left <= other.left and self.top <= other.top and other.right <= self.right
            and other.bottom <= self.bottom
        )  # fmt: skip


@dataclass
class Declared:
    """ComfyUI's declaration of a node type: inputs in order, as (kind, options)."""

    inputs: dict[str, tuple[str, dict]]
    required: set[str]
    outputs: list[str]
    module: str

    def is_widget(self, name: str) -> bool:
        kind, options = self.inputs[name]
        return kind in WIDGETS and not options.get("forceInput")

    @property
    def widget_names(self) -> list[str]:
        return [name for name in self.inputs if self.is_widget(name)]

    @property
    def saved_widgets(self) -> list[str | None]:
        """Names of the widgets with saved values, in order; None for a widget that only the interface has."""
        names: list[str | None] = []
        for name in self.widget_names:
            options = self.inputs[name][1]
            names += [name, None] if options.get("control_after_generate") else [name]
        if any(options.get(key) for _, options in self.inputs.values() for key in UPLOADS):
            names.append(None)
        return names


def declared(type_name: str) -> Declared:
    """Return the declaration of a node type.

    Raises:
        KeyError: this ComfyUI has no node of that type.
    """
    import nodes

    cls = nodes.NODE_CLASS_MAPPINGS[type_name]
    groups = cls.INPUT_TYPES()
    inputs = {}
    for group in ("required", "optional"):
        for name, spec in groups.get(group, {}).items():
            options = dict(spec[1]) if len(spec) > 1 and spec[1] else {}
            inputs[name] = ("COMBO" if isinstance(spec[0], (list, tuple)) else str(spec[0]), options)
    outputs = ["COMBO" if isinstance(kind, list) else str(kind) for kind in cls.RETURN_TYPES]
    module = getattr(cls, "RELATIVE_PYTHON_MODULE", "nodes")
    return Declared(inputs, set(groups.get("required", {})), outputs, module)


def real_nodes(graph: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes that are run: all but the notes."""
    return [node for node in graph["nodes"] if node["type"] not in NOTES]


def prompt_of(graph: dict[str, Any]) -> dict[str, dict]:
    """Return the prompt that the interface would queue, without titles: {id: {"class_type", "inputs"}}."""
    links = {link[0]: link for link in graph["links"]}
    prompt = {}
    for node in real_nodes(graph):
        kinds = declared(node["type"])
        saved = kinds.saved_widgets
        values = node.get("widgets_values", [])
        if len(values) != len(saved):
            raise ValueError(f"{node['type']} {node['id']}: {len(values)} widget values for the widgets {saved}")
        inputs: dict[str, Any] = {name: value for name, value in zip(saved, values, strict=True) if name}
        for entry in node["inputs"]:
            if entry["link"] is not None:
                link = links[entry["link"]]
                inputs[entry["name"]] = [str(link[1]), link[2]]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def node_box(node: dict[str, Any]) -> Box:
    """Return a node's place, title bar included."""
    (x, y), (width, height) = node["pos"], node["size"]
    return Box(x, y - NODE_TITLE, x + width, y + height)


def group_box(group: dict[str, Any]) -> Box:
    x, y, width, height = group["bounding"]
    return Box(x, y, x + width, y + height)
