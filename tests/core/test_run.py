"""Laws of the run directory: what is done is skipped, what changed is redone, one writer at a time."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from smallm.core.config import Recipe
from smallm.core.errors import UserError
from smallm.core.files import new_directory, read_json, write_json, write_text
from smallm.core.run import REDO_SECONDS, Run, Stage, peak_bytes, recover, run_stage, versions

RECIPE = Recipe(name="x")


class Maker:
    """Stage functions that count their calls and write what they are told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.text = {"a": "one", "b": "two"}

    def stage(self, name: str, inputs: tuple[str, ...] = (), **more: Any) -> Stage:
        def make(recipe: Recipe, run: Run) -> Path:
            self.calls.append(name)
            with new_directory(run.path / name) as directory:
                write_text(directory / "out", self.text[name])
                write_text(directory / "README.md", "a card")
                write_text(directory / "seconds", str(time.time_ns()))
            return run.path / name

        return Stage(name, name, make, more.pop("config", lambda recipe: {"seed": recipe.seed}), inputs, **more)


@pytest.fixture
def maker() -> Maker:
    return Maker()


def test_a_finished_stage_is_skipped_until_its_configuration_changes(tmp_path: Path, maker: Maker) -> None:
    stage = maker.stage("a")
    assert [run_stage(stage, RECIPE, Run(tmp_path))[1] for _ in range(2)] == [True, False]
    assert run_stage(stage, dataclasses.replace(RECIPE, seed=1), Run(tmp_path))[1]
    assert run_stage(dataclasses.replace(stage, version=2), dataclasses.replace(RECIPE, seed=1), Run(tmp_path))[1]


def test_what_a_run_beside_has_under_the_same_key_is_copied_not_made(tmp_path: Path, maker: Maker) -> None:
    stage = maker.stage("a", borrows=True)
    run_stage(stage, RECIPE, Run(tmp_path / "first"))
    path, made = run_stage(stage, RECIPE, Run(tmp_path / "second"))
    assert made
    assert maker.calls == ["a"]
    assert (path / "out").read_text("utf-8") == "one"
    assert not (path / "README.md").exists(), "a card is the run's own"
    record = read_json(path / "stage.json")
    assert record.pop("borrowed") == "../first"
    assert record == read_json(tmp_path / "first" / "a" / "stage.json")
    assert run_stage(stage, RECIPE, Run(tmp_path / "second"))[1] is False, "and it is done from then on"


@pytest.mark.parametrize("damage", ["another key", "another version", "changed", "missing", "no lender"])
def test_nothing_is_borrowed_that_is_not_exactly_the_same(tmp_path: Path, maker: Maker, damage: str) -> None:
    stage = maker.stage("a", borrows=damage != "no lender")
    run_stage(stage, RECIPE, Run(tmp_path / "first"))
    out = tmp_path / "first" / "a" / "out"
    if damage == "changed":
        out.write_text("ONE", "utf-8")
    if damage == "missing":
        out.unlink()
    if damage == "another version":
        record = read_json(tmp_path / "first" / "a" / "stage.json")
        write_json(tmp_path / "first" / "a" / "stage.json", record | {"versions": record["versions"] | {"torch": "1"}})
    recipe = dataclasses.replace(RECIPE, seed=5) if damage == "another key" else RECIPE
    path, made = run_stage(stage, recipe, Run(tmp_path / "second"))
    assert made
    assert maker.calls == ["a", "a"]
    assert "borrowed" not in read_json(path / "stage.json")


def test_a_stage_is_redone_when_the_outputs_that_it_reads_changed(tmp_path: Path, maker: Maker) -> None:
    first = maker.stage("a", unkeyed=("seconds",))
    second = maker.stage("b", ("a",), config=lambda recipe: {})
    run = Run(tmp_path)
    for stage in (first, second):
        run_stage(stage, RECIPE, run)
    other = dataclasses.replace(RECIPE, seed=1)
    assert run_stage(first, other, run)[1]
    assert not run_stage(second, other, run)[1]  # the same outputs, but for what a clock gave
    maker.text["a"] = "other"
    assert run_stage(first, RECIPE, run)[1]
    assert run_stage(second, RECIPE, run)[1]


def test_a_fingerprint_of_the_outside_is_part_of_the_key(tmp_path: Path, maker: Maker) -> None:
    found = {"file": "1"}
    stage = maker.stage("a", fingerprint=lambda recipe, hashes: dict(found))
    run_stage(stage, RECIPE, Run(tmp_path))
    assert not run_stage(stage, RECIPE, Run(tmp_path))[1]
    found["file"] = "2"
    assert run_stage(stage, RECIPE, Run(tmp_path))[1]


def test_a_card_may_be_rewritten_and_an_output_may_not(tmp_path: Path, maker: Maker) -> None:
    stage, run = maker.stage("a"), Run(tmp_path)
    run_stage(stage, RECIPE, run)
    write_text(tmp_path / "a" / "README.md", "another card, longer")
    assert not run_stage(stage, RECIPE, run)[1]
    write_text(tmp_path / "a" / "out", "changed by hand")
    assert run_stage(stage, RECIPE, run)[1]


def test_verify_sees_a_change_that_keeps_size_and_date(tmp_path: Path, maker: Maker) -> None:
    stage = maker.stage("a")
    run_stage(stage, RECIPE, Run(tmp_path))
    path = tmp_path / "a" / "out"
    stat = path.stat()
    path.write_text("eno")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not run_stage(stage, RECIPE, Run(tmp_path))[1]
    assert run_stage(stage, RECIPE, Run(tmp_path, verify=True))[1]


@pytest.mark.parametrize("record", ["", "{}", "[]", "null", '{"key": 1}'])
def test_a_damaged_record_counts_as_none(tmp_path: Path, maker: Maker, record: str) -> None:
    stage = maker.stage("a")
    run_stage(stage, RECIPE, Run(tmp_path))
    write_text(tmp_path / "a" / "stage.json", record)
    assert run_stage(stage, RECIPE, Run(tmp_path))[1]


def test_what_other_commands_write_into_an_artefact_is_neither_recorded_nor_a_change(
    tmp_path: Path, maker: Maker
) -> None:
    stage, run = maker.stage("a", owns=lambda artefact: ["out", "seconds"], shared=("seco*",)), Run(tmp_path)
    after = maker.stage("b", ("a",))

    def made() -> list[bool]:
        return [run_stage(s, RECIPE, Run(tmp_path))[1] for s in (stage, after)]

    write_text(tmp_path / "a" / "theirs", "first")
    made()
    write_text(tmp_path / "a" / "theirs", "from another command")
    write_text(tmp_path / "a" / "seconds", "written again, longer than before")
    record = run.stage_record("a")
    assert record is not None
    assert set(record["outputs"]) == {"out", "seconds"}
    assert made() == [False, False]
    assert not run_stage(stage, RECIPE, Run(tmp_path, verify=True))[1]
    (tmp_path / "a" / "seconds").unlink()
    assert made() == [True, False]  # it must be there, but nothing later depends on what it holds


def test_a_missing_input_is_named(tmp_path: Path, maker: Maker) -> None:
    with pytest.raises(UserError, match="a: not there, but `b` needs it"):
        run_stage(maker.stage("b", ("a",)), RECIPE, Run(tmp_path))


def test_a_stage_that_fails_leaves_the_old_artefact_and_is_tried_again(tmp_path: Path, maker: Maker) -> None:
    stage = maker.stage("a")
    run_stage(stage, RECIPE, Run(tmp_path))

    def broken(recipe: Recipe, run: Run) -> Path:
        raise UserError("no")

    changed = dataclasses.replace(RECIPE, seed=1)
    with pytest.raises(UserError, match="no"):
        run_stage(dataclasses.replace(stage, make=broken), changed, Run(tmp_path))
    assert (tmp_path / "a" / "out").read_text() == "one"
    assert run_stage(stage, changed, Run(tmp_path))[1]


def test_redoing_a_long_training_asks_first_and_continuing_it_does_not(tmp_path: Path, maker: Maker) -> None:
    stage = maker.stage("a", costly=True, extends=lambda old, new: new["seed"] > old["seed"])
    run = Run(tmp_path)
    run_stage(stage, dataclasses.replace(RECIPE, seed=5), run)
    record = read_json(tmp_path / "a" / "stage.json")
    write_json(tmp_path / "a" / "stage.json", record | {"seconds": REDO_SECONDS + 1})
    with pytest.raises(UserError, match="Say --redo"):
        run_stage(stage, RECIPE, run)
    assert (tmp_path / "a" / "out").read_text() == "one"
    assert run_stage(stage, dataclasses.replace(RECIPE, seed=6), run)[1]
    write_json(tmp_path / "a" / "stage.json", record | {"seconds": REDO_SECONDS + 1})
    assert run_stage(stage, RECIPE, run, redo=True)[1]


def test_the_record_says_what_made_the_artefact_and_what_it_holds(tmp_path: Path, maker: Maker) -> None:
    run_stage(maker.stage("a", unkeyed=("seconds",)), RECIPE, Run(tmp_path))
    record = read_json(tmp_path / "a" / "stage.json")
    assert set(record["outputs"]) == {"out", "seconds"}
    assert record["outputs"]["out"]["bytes"] == 3
    assert record["config"] == {"seed": 0}
    assert record["versions"]["python"] == versions()["python"]
    assert 1e6 < record["peak_bytes"] <= peak_bytes()


@pytest.mark.parametrize(("there", "left"), [(["a.old"], "a.old"), (["a", "a.old"], "a"), (["a"], "a"), ([], None)])
def test_a_kill_between_two_renames_is_put_right(tmp_path: Path, there: list[str], left: str | None) -> None:
    for name in there:
        write_text(tmp_path / name / "out", name)
    recover(tmp_path / "a")
    assert [p.name for p in tmp_path.iterdir()] == (["a"] if left else [])
    if left:
        assert (tmp_path / "a" / "out").read_text() == left


def test_an_automatic_decision_is_taken_once(tmp_path: Path) -> None:
    assert [Run(tmp_path).resolved("compile", lambda answer=answer: answer) for answer in ("on", "off")] == ["on", "on"]
    assert read_json(tmp_path / "resolved.json") == {"compile": "on"}
    write_text(tmp_path / "resolved.json", "{")
    with pytest.raises(UserError, match=r"resolved.json: not JSON .* Delete it"):
        Run(tmp_path).resolved("compile", lambda: "on")


# ---- the lock ------------------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from smallm.core.run import Run
with Run(Path(sys.argv[1])).lock():
    {inside}
    print("locked", flush=True)
    time.sleep(60)
"""


def hold(path: Path, inside: str = "pass") -> subprocess.Popen[str]:
    source = Path(__file__).resolve().parents[2] / "src"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(inside=inside), str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(source)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def test_a_second_process_is_told_who_writes_the_run(tmp_path: Path) -> None:
    process = hold(tmp_path)
    try:
        with (
            pytest.raises(UserError, match=rf"another process is writing this run \(pid {process.pid} on"),
            Run(tmp_path).lock(),
        ):
            pass
    finally:
        process.kill()
        process.communicate()
    with Run(tmp_path).lock():  # the kernel freed it
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_worker_that_outlives_its_killed_parent_does_not_hold_the_run(tmp_path: Path) -> None:
    there = tmp_path / "worker-is-there"  # by then it has run what follows a fork
    worker = f"import os\n    if os.fork() == 0: open({str(there)!r}, 'w').close(); time.sleep(5); os._exit(0)"
    process = hold(tmp_path / "run", worker)
    while not there.exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()  # or the collector finds it open, in the middle of another test
    with Run(tmp_path / "run").lock():
        pass


def test_the_same_process_cannot_hold_a_run_twice(tmp_path: Path) -> None:
    with Run(tmp_path).lock(), pytest.raises(UserError, match="another process"), Run(tmp_path).lock():
        pass
    with Run(tmp_path).lock():
        pass
    assert (tmp_path / ".lock").read_text() == ""
