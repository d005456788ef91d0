"""`smallm ablate`: what is done and left, the runs that are left, and the table of what is there."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from smallm.ablate.design import Ablation, Arm, chosen, load_ablation
from smallm.ablate.pages import RESULTS, pages_folder, write_pages
from smallm.ablate.results import Planned, find, plan_of, read_lines
from smallm.ablate.table import table_json, whole_table
from smallm.core.console import duration, say
from smallm.core.errors import UserError


def ablate_command(
    name: str,
    *,
    only: list[str],
    seeds: str,
    to: Path | None,
    list_only: bool,
    table_only: bool,
    max_minutes: float,
    as_json: bool,
) -> None:
    ablation = load_ablation(name)
    folder = to or Path("runs") / "ablations" / ablation.name
    pages = pages_folder(ablation, Path.cwd())
    results = (pages or folder) / RESULTS
    arms, wanted = chosen(ablation, only), seeds_of(ablation, seeds)
    if list_only:
        show_list(ablation, plan_for(ablation, arms, wanted), folder, results, as_json)
        return
    whole = True
    if not table_only:
        whole = make(ablation, plan_for(ablation, arms, wanted), folder, results, max_minutes, pages)
    show_table(ablation, results, pages, as_json)
    if not whole:
        say("Not all runs are made; the same command goes on from here.")


def plan_for(ablation: Ablation, arms: tuple[Arm, ...], seeds: tuple[int, ...]) -> list[Planned]:
    """The runs that this machine would make of them."""
    from smallm.ablate.runs import machine_dtype

    return plan_of(ablation, arms, seeds, machine_dtype())


def seeds_of(ablation: Ablation, text: str) -> tuple[int, ...]:
    """`0,2` of the ablation's seeds; all when empty."""
    if not text:
        return ablation.seeds
    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if not part.isdigit() or int(part) not in ablation.seeds]
    if wrong:
        known = ", ".join(map(str, ablation.seeds))
        raise UserError(f"--seeds {text}: `{wrong[0]}` is no seed of {ablation.name}; its seeds are {known}.")
    return tuple(seed for seed in ablation.seeds if str(seed) in parts)


def make(
    ablation: Ablation, runs: list[Planned], to: Path, results: Path, max_minutes: float, pages: Path | None
) -> bool:
    """Make what is left of `runs`, renewing the pages after each; whether all are made."""
    from smallm.ablate.runs import Clock, make_runs

    def written() -> None:
        if pages:
            write_pages(ablation, pages, read_lines(results))

    try:
        return make_runs(ablation, runs, to, results, Clock(max_minutes), written)
    except KeyboardInterrupt:
        say(f"\nStopped. What is finished is in {results}; the same command goes on from there.")
        raise typer.Exit(130) from None


def show_table(ablation: Ablation, results: Path, pages: Path | None, json_wanted: bool) -> None:
    """The table on stdout; on the pages where there are some, which are then named instead."""
    lines = read_lines(results)
    found = find(ablation, lines)
    if found.outdated:
        say(f"{results}: {found.outdated} lines are of arms as they no longer stand, and are left out.")
    changed = write_pages(ablation, pages, lines) if pages else []
    if json_wanted:
        print(json.dumps(table_json(ablation, found), indent=2))
        return
    if pages:
        say(f"{pages}: " + (f"renewed {', '.join(p.name for p in changed)}" if changed else "every page is fresh"))
    print(whole_table(ablation, found))


def show_list(ablation: Ablation, runs: list[Planned], to: Path, results: Path, json_wanted: bool) -> None:
    """One line an arm: which seeds are done, its minutes; then what is left, and how long that takes."""
    from smallm.ablate.runs import done_here, estimate, machine, possible

    lines = read_lines(results)
    found = done_here(ablation, lines, to)
    left = [run for run in runs if run.key not in found.lines]
    able = [run for run in left if possible(run)]
    minutes = estimate(able, list(found.lines.values()), machine())
    if json_wanted:
        rows = [{"run": r.name, "seed": r.seed, "set": r.arm.keys, "done": r.key in found.lines} for r in runs]
        content = {"runs": rows, "left": len(left), "minutes_left": minutes, "outdated": found.outdated}
        print(json.dumps(content, indent=2))
        return
    for name in dict.fromkeys(run.name for run in runs):
        own = [run for run in runs if run.name == name]
        seeds = " ".join(str(run.seed) if run.key in found.lines else "·" for run in own)
        times = [found.lines[run.key]["seconds"] for run in own if run.key in found.lines]
        took = duration(sum(times) / len(times)) if times else "cannot be made here" if not possible(own[0]) else "–"
        keys = ", ".join(f"{key}: {value}" for key, value in own[0].arm.keys.items()) or "the base"
        print(f"{name:<24} {seeds:<8} {took:<20} {keys}")
    ahead = "nothing is left" if not able else "time unknown until this machine has made one"
    ahead = f"about {duration(60 * minutes)} left" if minutes else ahead
    unable = f", {len(left) - len(able)} cannot be made here" if len(able) < len(left) else ""
    print(f"{len(runs) - len(left)} of {len(runs)} runs are done{unable}; {ahead}.")
    if found.outdated:
        print(f"{found.outdated} lines of {results} are of arms as they no longer stand; their runs are made again.")
