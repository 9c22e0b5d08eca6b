"""Captions from sidecar files, from metadata.jsonl and from metadata.csv."""

from pathlib import Path

import pytest
from train_rigs.pictures import data_config, save_noise

from training.data.scan import Scan, scan_folder


def _captions(scan: Scan) -> dict[str, str | None]:
    return {picture.name: picture.caption for picture in scan.pictures}


def test_sidecars(tmp_path: Path) -> None:
    save_noise(tmp_path, [(20, 20)] * 6)
    (tmp_path / "000.txt").write_text("a cat\n")
    (tmp_path / "001.txt").write_bytes(b"\xef\xbb\xbfun  chien\xc3\xa9\r\nsur le toit")
    (tmp_path / "002.txt").write_bytes(b"\xff\xfe not utf-8")
    (tmp_path / "003.TXT").write_text("  \n")
    (tmp_path / "004.txt").mkdir()
    (tmp_path / "readme.txt").write_text("nobody's caption")
    scan = scan_folder(data_config(tmp_path, captions="sidecar"))
    assert list(_captions(scan).values()) == ["a cat", "un chien\u00e9 sur le toit", None, None, None, None]
    assert [problem.path.name for problem in scan.problems] == ["002.txt"]
    assert [entry.path.name for entry in scan.rejected] == ["readme.txt"]
    assert "002.txt" in scan.summary() and "2 found, 4 missing" in scan.summary()


def test_sidecars_are_no_rejected_files_when_not_asked_for(tmp_path: Path) -> None:
    save_noise(tmp_path, [(20, 20)])
    (tmp_path / "000.txt").write_text("a cat")
    (tmp_path / "metadata.jsonl").write_text("")
    scan = scan_folder(data_config(tmp_path))
    assert _captions(scan) == {"000.png": None} and not scan.rejected


def test_accents_match_however_they_are_composed(tmp_path: Path) -> None:
    [path] = save_noise(tmp_path, [(20, 20)])
    path.rename(tmp_path / "e\u0301.png")
    (tmp_path / "\u00e9.txt").write_text("accent")
    assert list(_captions(scan_folder(data_config(tmp_path, captions="sidecar"))).values()) == ["accent"]


def test_metadata_in_any_folder_with_its_line_numbers(tmp_path: Path) -> None:
    save_noise(tmp_path, [(20, 20)] * 2)
    save_noise(tmp_path / "sub", [(20, 20)], first=2)
    (tmp_path / "broken.png").write_text("no picture")
    (tmp_path / "metadata.jsonl").write_bytes(
        b"\xef\xbb\xbf"
        b'{"file_name": "000.png", "text": "first", "more": 1}\r\n'
        b"not json\n"
        b"\n"
        b'["000.png", "text"]\n'
        b'{"file_name": "000.png"}\n'
        b'{"file_name": "nowhere.png", "text": "x"}\n'
        b'{"file_name": "000.png", "text": "second"}\n'
        b'{"file_name": "broken.png", "text": "x"}\n'
        b'{"file_name": "sub\\\\002.png", "text": 7}\n'
        b"\xff\n" + b"[" * 100000 + b"\n"
        b'{"file_name": "./001.png", "text": "last"}'
    )
    (tmp_path / "sub/metadata.jsonl").write_text('{"file_name": "002.png", "text": "below"}\n')
    scan = scan_folder(data_config(tmp_path, captions="metadata"))
    assert _captions(scan) == {"000.png": "first", "001.png": "last", "sub/002.png": "below"}
    assert [problem.line for problem in scan.problems] == [2, 4, 5, 6, 7, 9, 10, 11]
    assert all("\n" not in problem.reason and len(problem.reason) <= 200 for problem in scan.problems)
    assert "metadata.jsonl, line 5: no string 'text'" in scan.summary()


def test_captions_are_part_of_the_digest(tmp_path: Path) -> None:
    save_noise(tmp_path, [(20, 20)])
    config = data_config(tmp_path, captions="sidecar")
    before = scan_folder(config).digest
    (tmp_path / "000.txt").write_text("a cat")
    assert scan_folder(config).digest != before


def _report(scan: Scan) -> list[str]:
    lines = scan.summary().splitlines()
    return lines[next(place for place, line in enumerate(lines) if line.startswith("captions ")) :]


def test_caption_files_are_sidecars_too(tmp_path: Path) -> None:
    """T9: .txt holds where both are there, which is told."""
    save_noise(tmp_path, [(20, 20)] * 3)
    (tmp_path / "000.caption").write_text("a cat")
    (tmp_path / "001.CAPTION").write_text("a dog")
    (tmp_path / "001.txt").write_text("a bird")
    scan = scan_folder(data_config(tmp_path, captions="sidecar"))
    assert list(_captions(scan).values()) == ["a cat", "a bird", None] and not scan.rejected
    assert _report(scan) == [
        "captions  2 found, 1 missing (trained as empty)",
        "  missing: 002.png",
        f"  cannot be used: {tmp_path}/001.CAPTION: 001.txt beside it is used",
    ]


def test_metadata_csv(tmp_path: Path) -> None:
    """T9: columns by their names, quotes, line breaks in cells, and lines that cannot be used."""
    save_noise(tmp_path, [(20, 20)] * 4)
    (tmp_path / "metadata.csv").write_bytes(
        b"\xef\xbb\xbf"
        b"text,more,file_name\r\n"
        b'"a cat, sitting",1,000.png\r\n'
        b'"two\r\nlines",2,001.png\r\n'
        b"\r\n"
        b"too few\r\n"
        b"x,3,nowhere.png\r\n"
        b"again,4,000.png\r\n"
        b"last,5,./003.png"
    )
    scan = scan_folder(data_config(tmp_path, captions="metadata"))
    assert list(_captions(scan).values()) == ["a cat, sitting", "two lines", None, "last"] and not scan.rejected
    assert [(p.line, p.reason) for p in scan.problems] == [
        (6, "1 cells, too few"), (7, "no file 'nowhere.png'"), (8, "a second caption of '000.png'"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"name,caption\n000.png,a cat\n", 1, "no column 'file_name', but 'name', 'caption'"),
        (b"\n000.png,a cat\n", 1, "no column 'file_name', but none"),
        (b"file_name,text\n000.png,\xff\n", None, "not UTF-8"),
        (b"file_name,text\n000.png," + b"x" * 200_000 + b"\n", 2, "field larger than field limit (131072)"),
    ],
)
def test_a_metadata_csv_of_no_use(tmp_path: Path, content: bytes, line: int | None, reason: str) -> None:
    save_noise(tmp_path, [(20, 20)])
    (tmp_path / "metadata.csv").write_bytes(content)
    scan = scan_folder(data_config(tmp_path, captions="metadata"))
    assert [(problem.line, problem.reason) for problem in scan.problems] == [(line, reason)]
    assert _captions(scan) == {"000.png": None}


def test_an_empty_metadata_csv_names_nothing(tmp_path: Path) -> None:
    save_noise(tmp_path, [(20, 20)])
    (tmp_path / "metadata.csv").write_bytes(b"")
    scan = scan_folder(data_config(tmp_path, captions="metadata"))
    assert not scan.problems and not scan.rejected and _captions(scan) == {"000.png": None}


def test_of_two_lists_in_a_folder_the_first_holds(tmp_path: Path) -> None:
    save_noise(tmp_path, [(20, 20)])
    save_noise(tmp_path / "below", [(20, 20)], first=1)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "000.png", "text": "a cat"}')
    (tmp_path / "metadata.csv").write_text("file_name,text\n000.png,a dog\n")
    (tmp_path / "below" / "metadata.csv").write_text("file_name,text\n001.png,a bird\n")
    scan = scan_folder(data_config(tmp_path, captions="metadata"))
    assert list(_captions(scan).values()) == ["a cat", "a bird"]
    assert [(p.path.name, p.reason) for p in scan.problems] == [("metadata.csv", "metadata.jsonl beside it is used")]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("none", "not used; --captions sidecar would read 1 .txt and 2 .caption; --captions metadata would read 1 "
                 "metadata.csv"),
        ("sidecar", "3 found, 9 missing (trained as empty); --captions metadata would read 1 metadata.csv"),
        ("metadata", "none found, no metadata.jsonl or metadata.csv names a picture: all 12 are trained under the "
                     "empty prompt; --captions sidecar would read 1 .txt and 2 .caption"),
    ],
)  # fmt: skip
def test_captions_that_nobody_asked_for_are_told(tmp_path: Path, kind: str, told: str) -> None:
    """T9: of files that are there and not read, how many, and what reads them; they are no pictures left out."""
    save_noise(tmp_path, [(20, 20)] * 12)
    (tmp_path / "000.txt").write_text("a cat")
    for number in (1, 2):
        (tmp_path / f"00{number}.caption").write_text("a dog")
    (tmp_path / "metadata.csv").write_text("file_name,text\n")
    scan = scan_folder(data_config(tmp_path, captions=kind))
    assert _report(scan)[0] == f"captions  {told}" and not scan.rejected


def test_none_of_twelve_captions_is_one_line(tmp_path: Path) -> None:
    """T9: what a caption would be, and what the pictures are trained under without."""
    save_noise(tmp_path, [(20, 20)] * 12)
    (tmp_path / "elsewhere.txt").write_text("a cat")
    scan = scan_folder(data_config(tmp_path, captions="sidecar"))
    assert _report(scan) == [
        "captions  none found, no picture has a .txt or .caption file of its name: all 12 are trained under the empty "
        "prompt",
        "left out, not an image: 1",
        f"  {tmp_path}/elsewhere.txt: perhaps a caption, but no picture has its name",
    ]
