"""The wheel holds all that a run needs, away from the clone."""

from __future__ import annotations

import sysconfig
import zipfile
from pathlib import Path

import pytest
import wheel_test

from smallm import __version__

SRC = Path(__file__).resolve().parent.parent / "src"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel_test.build_wheel(tmp_path_factory.mktemp("wheel") / "built")


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(wheel: Path):
    wanted = {
        p.relative_to(SRC).as_posix()
        for p in (SRC / "smallm").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts and not p.name.startswith(".")
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == wanted


@pytest.mark.slow
def test_the_wheel_makes_a_model_from_an_empty_directory(wheel: Path, tmp_path: Path):
    python = wheel_test.empty_environment(tmp_path / "environment")
    paths = {"base": str(tmp_path / "environment"), "platbase": str(tmp_path / "environment")}
    site = Path(sysconfig.get_path("purelib", vars=paths))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # What is installed beside this test, without its editable smallm: .pth files there are not read.
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = python.with_name("smallm")
    script.write_text(f"#!{python}\nimport sys\nfrom smallm.cli import main\nsys.exit(main())\n")
    script.chmod(0o755)
    said = wheel_test.exercise(python, tmp_path / "empty")
    assert said["version"].strip() == f"smallm {__version__}"
    assert "quickstart" in said["recipes"]
    assert Path(tmp_path / "empty" / said["run"].strip().splitlines()[-1]).is_file()
