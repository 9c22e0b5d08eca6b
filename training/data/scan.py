"""Scan every file of the picture folder before training starts."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import IO

from gcfg_core.errors import InputError

from ..console.progress_bar import Progress
from .buckets import Bucket, make_buckets
from .captions import Captions, caption_files, is_caption_file, is_sidecar, read_captions, stem
from .config import DataConfig
from .image_file import UnusablePicture, error_line, pixel_limit, quiet
from .outside import refuse_pictures_as_cache
from .picture import CaptionProblem, ImageFacts, Picture, Rejected, RejectedFacts, Size, digest_of, printable
from .pixels import decode
from .scan_index import Facts, ScanIndex
from .scan_summary import scan_summary
from .walk import FileStamp, FolderFiles, walk

SAVE_EVERY = 30.0  # seconds; at most this much of a scan is lost when interrupted
NOBODYS = "perhaps a caption, but no picture has its name"


@dataclass(frozen=True)
class Scan:
    """The pictures of a folder.

    Attributes:
        config: the settings.
        pictures: ordered by name; a picture's index is its place here.
        rejected: rejected files, with reasons.
        problems: unusable captions.
        hidden: number of files and folders skipped because their names start with a dot.
        caption_files: number of caption files, used or not, by ending.
    """

    config: DataConfig
    pictures: tuple[Picture, ...]
    rejected: tuple[Rejected, ...]
    problems: tuple[CaptionProblem, ...] = ()
    hidden: int = 0
    caption_files: Mapping[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Hash of pictures and captions; renaming files does not change it while their order stays."""
        return digest_of(self.pictures)

    def buckets(self) -> tuple[Bucket, ...]:
        """Return the pictures' buckets."""
        return make_buckets([picture.size for picture in self.pictures], self.config)

    def summary(self, examples: int = 10) -> str:
        """Describe the scan as text, with up to ``examples`` files per problem."""
        return scan_summary(
            self.config, self.pictures, self.rejected, self.problems, self.hidden, self.caption_files, examples
        )


def check_folder(config: DataConfig) -> None:
    """Raise InputError unless the picture folder exists and is not the cache."""
    if not config.images.is_dir():
        got = "a file" if config.images.exists() else "nothing"
        raise InputError(f"images {printable(config.images)}", "a folder", got, "Give the folder of your pictures.")
    refuse_pictures_as_cache(config.cache, config.images)


def scan_folder(config: DataConfig, progress: Progress | None = None, keep: bool = True) -> Scan:
    """Scan every file of ``config.images``; with ``config.cache``, only new and changed files.

    Args:
        config: folder, limits and captions.
        progress: called with (files done, files).
        keep: store the facts in the cache; False: write nothing.

    Raises:
        InputError: the folder is missing, or has no usable picture.
    """
    check_folder(config)
    found = walk(config.images, without=config.cache)
    facts = _look(found, config, progress, keep)
    images = {file.name: fact for file, fact in zip(found.files, facts, strict=True) if isinstance(fact, ImageFacts)}
    captions, problems = read_captions(config.captions, found.files, images)
    pictures, rejected = _sorted_out(found, facts, captions, config)
    if not pictures:
        raise _nothing(config, rejected)
    there = caption_files((file.name for file in found.files), _stems(found, facts))
    return Scan(config, tuple(pictures), tuple(rejected), tuple(problems), found.hidden, there)


def _sorted_out(
    found: FolderFiles, facts: list[Facts], captions: Captions, config: DataConfig
) -> tuple[list[Picture], list[Rejected]]:
    """Return pictures and rejected files, both ordered by name."""
    pictures: list[Picture] = []
    rejected = list(found.rejected)
    first: dict[str, str] = {}
    stems = _stems(found, facts)
    for file, fact in zip(found.files, facts, strict=True):
        if isinstance(fact, RejectedFacts):
            if not (fact.kind == "not an image" and is_caption_file(file.name, stems)):
                reason = NOBODYS if config.captions == "sidecar" and is_sidecar(file.name) else fact.reason
                rejected.append(Rejected(fact.kind, reason, path=file.path))
        elif min(fact.size) < config.smallest_side:
            rejected.append(Rejected("tiny", f"{fact.size}, {config.tiny}", path=file.path))
        elif fact.sha256 in first:
            reason = f"the bytes of {printable(first[fact.sha256])}"
            rejected.append(Rejected("duplicate", reason, path=file.path))
        else:
            first[fact.sha256] = file.name
            caption = captions.get(file.name)
            pictures.append(Picture(**vars(fact), path=file.path, name=file.name, caption=caption))
    return pictures, sorted(rejected, key=lambda entry: os.fspath(entry.path))


def _stems(found: FolderFiles, facts: list[Facts]) -> set[str]:
    """Return the names of the images, broken images included, without their endings."""
    return {stem(file.name) for file, fact in zip(found.files, facts, strict=True) if _is_image(fact)}


def _is_image(fact: Facts) -> bool:
    return isinstance(fact, ImageFacts) or fact.kind != "not an image"


def _look(found: FolderFiles, config: DataConfig, progress: Progress | None, keep: bool) -> list[Facts]:
    """Return the facts of every file, from the index if it has not changed."""
    index = ScanIndex(config.cache, config.images, config.max_pixels)
    index.keep({file.name for file in found.files})
    changed = [file for file in found.files if index.get(file) is None]
    facts = {file.name: index.get(file) for file in found.files}
    saved = time.monotonic()
    with quiet(), pixel_limit(config.max_pixels):
        for number, (file, fact) in enumerate(_examined(changed, config), 1):
            facts[file.name] = fact
            index.put(file, fact)
            if progress is not None:
                progress(len(facts) - len(changed) + number, len(facts))
            if keep and time.monotonic() - saved > SAVE_EVERY:
                index.save()
                saved = time.monotonic()
    if keep:
        index.save()
    return [fact for file in found.files if (fact := facts[file.name]) is not None]


def _examined(files: list[FileStamp], config: DataConfig) -> Iterator[tuple[FileStamp, Facts]]:
    """Yield facts as they are ready, with ``config.workers`` threads; Pillow decodes without the interpreter's lock."""
    if config.workers == 0:
        yield from ((file, examine(file, config.max_pixels)) for file in files)
        return
    waiting: dict[Future[Facts], FileStamp] = {}
    with ThreadPoolExecutor(config.workers) as pool:
        for file in files:
            waiting[pool.submit(examine, file, config.max_pixels)] = file
            if len(waiting) > 4 * config.workers:
                done = wait(waiting, return_when=FIRST_COMPLETED).done
                yield from ((waiting.pop(future), future.result()) for future in done)
        yield from ((file, future.result()) for future, file in waiting.items())


def examine(file: FileStamp, max_pixels: int) -> Facts:
    """Decode a file and hash its bytes; never raises, whatever the file is."""
    if file.stamp[2] == 0:
        return RejectedFacts("not an image", "an empty file")
    try:
        with open(file.path, "rb") as stream:
            image, name, alpha = decode(stream, max_pixels)
            return ImageFacts(Size(*image.size), name, _sha256(stream), alpha is not None)
    except UnusablePicture as error:
        return RejectedFacts(error.kind, error.reason)
    except OSError as error:
        return RejectedFacts("unreadable", error_line(error))


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    stream.seek(0)
    while piece := stream.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def _nothing(config: DataConfig, rejected: list[Rejected]) -> InputError:
    counts = Counter(entry.kind for entry in rejected).most_common()
    got = ", ".join(f"{count} {kind}" for kind, count in counts) or "no file"
    remedy = "Put pictures into it."
    if rejected:
        most = next(entry for entry in rejected if entry.kind == counts[0][0])
        remedy = f"For example {printable(most.path)}: {most.reason}."
        remedy += f" {config.tiny_remedy}" if most.kind == "tiny" else ""
    return InputError(f"images {printable(config.images)}", "at least one usable picture", got, remedy)
