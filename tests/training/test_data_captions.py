"""Captions from sidecar files and from metadata.jsonl."""

from pathlib import Path

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
    assert "002.txt" in scan.report() and "2 found, 4 missing" in scan.report()


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
    assert "metadata.jsonl, line 5: no string 'text'" in scan.report()


def test_captions_are_part_of_the_digest(tmp_path: Path) -> None:
    save_noise(tmp_path, [(20, 20)])
    config = data_config(tmp_path, captions="sidecar")
    before = scan_folder(config).digest
    (tmp_path / "000.txt").write_text("a cat")
    assert scan_folder(config).digest != before
