"""Run workflows of `workflows/api` in this process: ComfyUI's own validation and executor, tiny models, small sizes."""

import asyncio
import inspect
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import comfy.model_base
import execution
import folder_paths

from rigs.base_directory import MODEL_FOLDERS, STAND_INS, lay_out
from rigs.pack import Pack
from rigs.substitute import substitute

KEPT = 12
"""Number of nodes whose results the executor keeps: enough for the loaders of one workflow and the next."""
DIRECTORIES = ("input", "output", "temp")
NOTHING: Mapping[str, Mapping[str, Path]] = {}


@dataclass
class Done:
    """The results of one workflow.

    Attributes:
        images: saved files, in order.
        shown: the last picture that nodes of each type showed.
        traces: the trace of each sampling run, in order.
        texts: the texts that the pack's nodes showed.
        chunks: the number of conditions that each forward of a network evaluated, in order.
    """

    images: list[Path] = field(default_factory=list)
    shown: dict[str, Path] = field(default_factory=dict)
    traces: list[Any] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    chunks: list[int] = field(default_factory=list)

    @property
    def evaluations(self) -> list[list[int]]:
        """Evaluations of every guider call, per sampling run."""
        return [[sum(record.evaluations) for record in trace.records] for trace in self.traces]


class SilentServer:
    """The part of ComfyUI's server that its executor uses."""

    client_id = None
    last_node_id = None
    last_prompt_id = None
    sockets_metadata: dict = {}

    def send_sync(self, *_: object) -> None:
        """Do nothing: there is no client."""


class WorkflowRunner:
    """Runs workflows one after another in one executor, so that files they have in common are loaded once.

    A context manager: at its end ComfyUI's folders are restored.

    Args:
        pack: the loaded pack.
        base: an empty folder for models, inputs and outputs.
    """

    def __init__(self, pack: Pack, base: Path) -> None:
        self.pack, self.base = pack, base
        lay_out(base, {}, {})
        _load_stand_ins()
        self._folders = {name: getattr(folder_paths, f"get_{name}_directory")() for name in DIRECTORIES}
        self._models = {name: list(folder_paths.get_folder_paths(name)) for name in MODEL_FOLDERS}
        self.executor = execution.PromptExecutor(SilentServer(), **_cache_arguments())

    def __enter__(self) -> "WorkflowRunner":
        for folder in MODEL_FOLDERS:
            folder_paths.add_model_folder_path(folder, str(self.base / "models" / folder), is_default=True)
        for name in DIRECTORIES:
            getattr(folder_paths, f"set_{name}_directory")(str(self.base / name))
        return self

    def __exit__(self, *_: object) -> None:
        for name, directory in self._folders.items():
            getattr(folder_paths, f"set_{name}_directory")(directory)
        for name, paths in self._models.items():
            folder_paths.folder_names_and_paths[name][0][:] = paths
        folder_paths.filename_list_cache.clear()  # otherwise it would look into the folders after they are deleted
        self.executor.reset()

    def run(
        self,
        prompt: dict[str, dict],
        steps: int = 4,
        size: int = 64,
        models: Mapping[str, Mapping[str, Path]] = NOTHING,
    ) -> Done:
        """Run an API-format prompt with tiny models.

        Args:
            models: {model folder: {file name: file}} of files to use in the place of tiny ones.

        Raises:
            ValueError: ComfyUI refuses the prompt.
            RuntimeError: a node fails.
        """
        small = substitute(prompt, steps, size)
        lay_out(self.base, {}, small.models)
        lay_out(self.base, {}, models)
        for name, path in small.images.items():
            shutil.copy2(path, self.base / "input" / name)  # newer versions refuse links out of the folder
        before = set(self._outputs())
        identity = uuid.uuid4().hex
        done = Done()
        with _watched(self.pack, done):
            valid = asyncio.run(execution.validate_prompt(identity, small.prompt, None))
            if not valid[0]:
                raise ValueError(f"ComfyUI refuses the prompt: {valid[1]} {valid[3]}")
            self.executor.execute(small.prompt, identity, {}, valid[2])
        if not self.executor.success:
            raise RuntimeError(f"a node failed: {self.executor.status_messages[-1]}")
        done.images = [path for path in self._outputs() if path not in before]
        outputs = self.executor.history_result["outputs"]
        done.shown = {
            small.prompt[key]["class_type"]: self.base / image["type"] / image["subfolder"] / image["filename"]
            for key, node in outputs.items()
            for image in node.get("images", [])
        }
        done.texts = [text for node in outputs.values() for text in node.get("text", [])]
        return done

    def _outputs(self) -> list[Path]:
        return sorted(path for path in (self.base / "output").rglob("*") if path.is_file())


@contextmanager
def _watched(pack: Pack, done: Done) -> Iterator[None]:
    """Record every trace that begins, and the condition chunks of every network."""
    trace_type = pack.module("gcfg_core.trace.trace").Trace
    begin, apply_model = trace_type.begin, comfy.model_base.BaseModel._apply_model

    def noted_begin(self: Any) -> None:
        done.traces.append(self)
        begin(self)

    def noted_apply(self: Any, *args: Any, **kwargs: Any) -> Any:
        options = kwargs.get("transformer_options") or args[5]
        done.chunks.append(len(options["cond_or_uncond"]))
        return apply_model(self, *args, **kwargs)

    with (
        patch.object(trace_type, "begin", noted_begin),
        patch.object(comfy.model_base.BaseModel, "_apply_model", noted_apply),
    ):
        yield


def _load_stand_ins() -> None:
    import nodes

    if "StandInCLIPLoader" not in nodes.NODE_CLASS_MAPPINGS and not asyncio.run(nodes.load_custom_node(str(STAND_INS))):
        raise RuntimeError(f"ComfyUI could not load the stand-in nodes in {STAND_INS}")


def _cache_arguments() -> dict[str, Any]:
    """Return the arguments for a cache that outlives prompts, under this ComfyUI's names."""
    arguments: dict[str, Any] = {"cache_type": execution.CacheType.LRU}
    if "cache_args" in inspect.signature(execution.PromptExecutor.__init__).parameters:
        return {**arguments, "cache_args": {"lru": KEPT, "ram": 0.0, "ram_inactive": 0.0}}
    return {**arguments, "cache_size": KEPT}  # up to 0.3.66
