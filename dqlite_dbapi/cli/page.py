"""The page of `serve-status`: HTML with drawings in SVG, complete without a script."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from html import escape

from dqlite_dbapi import Health, MemberHealth
from dqlite_dbapi.cli.history import Note, Sample, Shown
from dqlite_dbapi.cli.plot import colours, latency, leaders, top_of
from dqlite_dbapi.cli.status import STATES, state_of

_MARKS = ("\N{CHECK MARK}", "!", "\N{MULTIPLICATION X}")
_TITLES = {"healthy": "Healthy", "degraded": "Degraded, but serving", "down": "Not serving"}
_DASH = "\N{EN DASH}"
_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
<script src="/page.js" defer></script>
<noscript><meta http-equiv="refresh" content="5"></noscript>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def render(shown: Shown) -> str:
    """The whole page."""
    if shown.health is None:
        body = '<header><p class="light waiting">?</p><h1>Looking at the cluster</h1></header>'
        return _FRAME.format(title="dqlite", body=body)
    parts = [
        _verdict(shown.health, shown.samples[-1].at),
        _warnings(shown.health),
        _members(shown),
        _latency(shown.samples),
        _leaders(shown),
        _notes(shown.notes),
    ]
    state = STATES[state_of(shown.health)]
    return _FRAME.format(title=f"{state} {_DASH} dqlite", body="\n".join(filter(None, parts)))


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def _verdict(health: Health, at: float) -> str:
    state = state_of(health)
    name = STATES[state]
    spare = health.voters_reachable - health.quorum
    if not health.has_quorum:
        margin = "no quorum"
    elif spare:
        margin = f"{spare} more may fail"
    else:
        margin = "none may fail now"
    voters = f"{health.voters_reachable} of {health.voters} voters answer, {health.quorum} needed"
    leader = f"led by {escape(health.leader)}" if health.leader else "no leader"
    return (
        f'<header class="{name}"><p class="light {name}" aria-hidden="true">{_MARKS[state]}</p>'
        f"<div><h1>{_TITLES[name]}</h1><p>{voters} {_DASH} {margin}</p>"
        f'<p class="quiet">{leader}, as of <time>{_clock(at)}</time></p></div></header>'
    )


def _warnings(health: Health) -> str:
    if not health.warnings:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in health.warnings)
    return f'<section class="warnings"><h2>Warnings</h2><ul>{items}</ul></section>'


def _members(shown: Shown) -> str:
    assert shown.health is not None  # noqa: S101 - `render` has looked
    classes = colours(shown.samples)
    rows = "".join(
        _member(member, classes.get(member.address, "")) for member in shown.health.members
    )
    heads = "".join(
        f'<th scope="col"{kind}>{name}</th>'
        for name, kind in (
            ("Member", ""),
            ("Role", ""),
            ("State", ""),
            ("Round trip", ' class="number"'),
            ("Weight", ' class="number extra"'),
            ("Domain", ' class="number extra"'),
        )
    )
    return (
        '<section class="members"><h2>Members</h2>'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _number(value: object, kind: str = "number") -> str:
    return f'<td class="{kind}">{_DASH if value is None else escape(str(value))}</td>'


def _member(member: MemberHealth, colour: str) -> str:
    if not member.reachable:
        state, kind = "no answer", "lost"
    else:
        state, kind = ("leader", "leads") if member.is_leader else ("answers", "")
    trip = None if member.round_trip is None else f"{member.round_trip:.1f} ms"
    number = "?" if member.id is None else member.id
    return (
        f'<tr class="{kind}"><th scope="row"><span class="key {colour}"></span>'
        f'{escape(member.address)} <span class="quiet extra">{number}</span></th>'
        f"<td>{escape(member.role_name)}</td>"
        f'<td><span class="state">{state}</span></td>'
        f"{_number(trip)}{_number(member.weight, 'number extra')}"
        f"{_number(member.failure_domain, 'number extra')}</tr>"
    )


def _times(samples: Sequence[Sample]) -> str:
    first, last = samples[0].at, samples[-1].at
    marks = (first, (first + last) / 2, last)
    return f'<p class="times">{"".join(f"<span>{_clock(at)}</span>" for at in marks)}</p>'


def _latency(samples: Sequence[Sample]) -> str:
    top = top_of(samples)
    scale = "".join(f"<span>{value:g}</span>" for value in (top, top / 2, 0))
    return (
        '<section class="wide"><h2>Round trip, ms</h2><div class="plot">'
        f'<p class="scale" aria-hidden="true">{scale}</p>{latency(samples, top)}</div>'
        f"{_times(samples)}{_legend(samples)}</section>"
    )


def _leaders(shown: Shown) -> str:
    count = shown.leader_changes
    told = f"{count} change{'' if count == 1 else 's'} since the start"
    return (
        f'<section class="wide"><h2>Leader <span class="quiet">{told}</span></h2>'
        f'<div class="strip">{leaders(shown.samples)}</div>{_times(shown.samples)}</section>'
    )


def _legend(samples: Sequence[Sample]) -> str:
    known: Iterable[tuple[str, str]] = colours(samples).items()
    items = "".join(
        f'<li><span class="key {colour}"></span>{escape(address)}</li>' for address, colour in known
    )
    return f'<ul class="legend">{items}<li><span class="key none"></span>no leader</li></ul>'


def _notes(notes: Sequence[Note]) -> str:
    items = "".join(
        f"<li><time>{_clock(note.at)}</time> {escape(note.text)}</li>" for note in reversed(notes)
    )
    content = f"<ol>{items}</ol>" if items else '<p class="quiet">nothing has changed yet</p>'
    return f'<section class="notes"><h2>Events</h2>{content}</section>'
