"""The trainer works in any folder, not in the pack's alone (T19)."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from train_rigs.commands import make_given, train
from train_rigs.processes import ROOT

from training.cli import main
from training.console.program import PROGRAM, program
from training.state.record import read_record
from training.state.run_paths import located_config

PROGRAMS = (ROOT / "training", ROOT / "training" / "__main__.py")


def _started(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python on a path, in a folder that knows nothing of the pack."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run([sys.executable, *words], cwd=place, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_it_is_started_by_its_folder_from_any_other(tmp_path: Path, path: Path) -> None:
    done = _started(tmp_path, str(path), "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python {ROOT / 'training'} COMMAND")
    done = _started(tmp_path, str(path), "inspect", str(ROOT / "starter" / "world"))
    assert done.returncode == 0 and "starter world" in done.stdout.lower(), done.stderr
    done = _started(tmp_path, str(path), "inspect")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_its_files_are_no_modules_of_others(tmp_path: Path) -> None:
    """Python puts the folder of a program first: `schedule` or `progress` would be the trainer's for every package."""
    check = "import runpy, sys; sys.argv = [sys.path[0], '--help']; "
    check += "sys.modules['__main__'].__spec__ = None\ntry: runpy.run_path(sys.argv[0], run_name='__main__')\n"
    check += "except SystemExit: pass\nimport importlib.util as u; print(sys.path[0], u.find_spec('schedule'))"
    path = str(ROOT / "training")
    done = _started(tmp_path, "-c", f"import sys; sys.path[0] = {path!r}; {check}")
    assert done.returncode == 0, done.stderr
    assert str(ROOT / "training") not in done.stdout.splitlines()[-1] and done.stdout.endswith("None\n")


def test_a_worker_that_imports_the_program_does_not_run_it() -> None:
    assert "sys" in runpy.run_path(str(PROGRAMS[1]), run_name="__mp_main__")


def test_hints_name_the_way_that_it_was_started() -> None:
    assert program(str(PROGRAMS[0]), "") == program(str(PROGRAMS[1]), None) == f"python {ROOT / 'training'}"
    assert program(str(PROGRAMS[1]), "training") == "python -m training"
    assert program("/somewhere/pytest", "") == PROGRAM == "python -m training"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that names its base, VAE and pictures from the folder above it; the working folder is another."""
    make_given(tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    assert train(Path("."), Path("run"), "--steps", "2", "--vae", "sd15/vae") == 0
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    return Path("../project/run")


def test_a_run_finds_its_base_from_another_folder(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(elsewhere), "--steps", "1", "--w-concept", "1", "--output", "grid.png"]) == 0
    assert main(["export", str(elsewhere), "out.safetensors", "--average", "ema-0.1"]) == 0
    assert Path("grid.png").is_file() and Path("out.safetensors").is_file()
    assert main(["sample", str(elsewhere), "--steps", "1", "--output", "../project/images/grid.png"]) == 2
    assert "expected a place outside the pictures" in capsys.readouterr().err


def test_paths_lead_from_here_first_and_old_records_stay(elsewhere: Path, tmp_path: Path) -> None:
    record = read_record(elsewhere)
    assert record["folder"] == str(tmp_path / "project") and record["config"]["base"] == "sd15"
    found = located_config(record)
    assert found["base"] == str(tmp_path / "project" / "sd15")
    assert found["data"]["images"] == str(tmp_path / "project" / "images")
    assert found["model"]["vae"] == str(tmp_path / "project" / "sd15/vae")
    Path("sd15").mkdir()
    assert located_config(record)["base"] == "sd15" and record["config"]["base"] == "sd15"
    del record["folder"]
    assert located_config(record) == json.loads(json.dumps(record["config"]))
