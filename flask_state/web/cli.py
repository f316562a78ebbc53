"""``flask state``: what an administrator does with sessions from a shell."""

from __future__ import annotations

import collections.abc as cabc
import itertools
import json
import re
import time
import typing as t

import click
import flask
from flask.cli import AppGroup

from ..core import settings as settings_table
from ..errors import StateError
from ..session.export import as_json
from ..session.export import as_line
from ..session.export import moment
from ..session.sessions import SessionInfo
from ..session.sessions import Sessions
from ..session.sweeper import sweep_batch
from .checks import findings
from .current import app_state

_PASSWORD = re.compile(r"(?<=//)([^:/@]*):.*@")
"""Up to the last @: where a password was not escaped, rather too much is hidden."""
_SECRET_OPTION = re.compile(r"(?i)((?:password|secret|token)=)[^&#]*")


class StateGroup(AppGroup):
    """Commands whose errors of ours are one line and no traceback."""

    def invoke(self, ctx: click.Context) -> t.Any:
        """Run the command.

        :raise click.ClickException: where it raised a `StateError`.
        """
        try:
            return super().invoke(ctx)
        except StateError as error:
            raise click.ClickException(str(error)) from error


group: t.Final = StateGroup("state", help="Look at the state that this application keeps.")
sessions_group: t.Final = StateGroup("sessions", help="List, show and end sessions.")
group.add_command(sessions_group)

_owner = click.option("--owner", help="Only the sessions of this owner.")
_json = click.option("--json", "as_lines", is_flag=True, help="One JSON object per line.")


@group.command("settings")
def show_settings() -> None:
    """Every setting: its value in force, whether it is the default, and what it says."""
    state = app_state()
    given = settings_table.as_config(state.settings)
    for row in settings_table.settings_table():
        origin = "default" if given[row.key] == row.default else "set"
        value = _shown_setting(state.written[row.key])
        click.echo(f"{row.key} = {value}  ({origin})\n    {row.help}")


@group.command("check")
@_json
def check(as_lines: bool) -> None:
    """Say what is weak or won't work. The exit status is 1 if anything is."""
    app = flask.current_app._get_current_object()  # type: ignore[attr-defined]
    warned = False
    for found in findings(app, app_state(app)):
        level = "ok" if found.good else "warn"
        warned = warned or not found.good
        if as_lines:
            click.echo(json.dumps({"level": level, "about": found.about, "text": found.text}))
        else:
            click.echo(_printable(f"{level:4}  {found.about}: {found.text}"))
    if warned:
        raise click.exceptions.Exit(1)


@group.command("sweep")
def sweep() -> None:
    """Deliver and forget all that has ended, as a server's sweeper does by itself."""
    sessions, clock, total = _sessions(), app_state().clock, 0
    while True:
        swept, rest = sweep_batch(sessions, clock)
        if not swept:
            break
        total += swept
        time.sleep(rest)
    click.echo(f"{total} swept")


@group.command("export")
@_owner
def export(owner: str | None) -> None:
    """Write sessions and what they hold, one JSON object per line."""
    sessions = _sessions()
    for info in _living(sessions, owner):
        items = sessions.items_of(info.handle)
        if items is not None:  # it may have ended since it was found
            click.echo(as_line(info, items, sessions.codec))


@sessions_group.command("list")
@_owner
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many at most."
)
@_json
def list_sessions(owner: str | None, limit: int, as_lines: bool) -> None:
    """Living sessions, without what they hold."""
    living = _living(_sessions(), owner)
    for info in itertools.islice(living, limit):
        facts = _facts(info)
        if as_lines:
            click.echo(json.dumps(facts))
        else:
            click.echo("  ".join(f"{name}={_printable(str(v))}" for name, v in facts.items()))
    if next(iter(living), None) is not None:
        click.echo(f"There are more than {limit}: see --limit, and flask state export.", err=True)


@sessions_group.command("show")
@click.argument("handle")
def show(handle: str) -> None:
    """One session: what is known of it, and what it holds, as JSON."""
    sessions = _sessions()
    info, items = sessions.get(handle), sessions.items_of(handle)
    if info is None or items is None:
        raise click.ClickException(f"no living session has the handle {_printable(handle)}")
    for name, fact in _facts(info).items():
        click.echo(f"{name}: {_printable(str(fact))}")
    for name, value in items.items():
        click.echo(f"session[{json.dumps(name)}] = {as_json(value, sessions.codec)}")


@sessions_group.command("end")
@click.argument("handles", nargs=-1)
@click.option("--owner", help="End all sessions of this owner.")
@click.option("--all", "everybody", is_flag=True, help="End all sessions there are.")
@click.option("--yes", is_flag=True, help="Don't ask whether all are meant.")
def end(handles: tuple[str, ...], owner: str | None, everybody: bool, yes: bool) -> None:
    """End sessions, whoever uses them: they are gone with the next request."""
    if bool(handles) + (owner is not None) + everybody != 1:
        raise click.UsageError("Say which: handles, or --owner, or --all.")
    sessions = _sessions()
    if owner is not None:
        click.echo(f"{sessions.end_all(owner)} ended")
        return
    if everybody:
        if not yes:
            click.confirm(f"End all {sessions.count()} sessions?", abort=True)
        handles = tuple(info.handle for info in sessions)
    gone = [handle for handle in handles if not sessions.end(handle)]
    click.echo(f"{len(handles) - len(gone)} ended")
    if gone and not everybody:
        named = ", ".join(map(_printable, gone))
        raise click.ClickException(f"no living session has the handle {named}")


def _sessions() -> Sessions:
    return app_state().parts.sessions


def _living(sessions: Sessions, owner: str | None) -> cabc.Iterator[SessionInfo]:
    return iter(sessions) if owner is None else iter(sessions.find(owner))


def _facts(info: SessionInfo) -> dict[str, t.Any]:
    """What is known of a session, in words for people; what is not known is left out."""
    signed_in = moment(info.signed_in) if info.signed_in is not None else None
    facts = {
        "handle": info.handle,
        "owner": info.owner,
        "created": moment(info.created),
        "touched": moment(info.touched),
        "expires": moment(info.expires),
        "size": info.size,
        "signed_in": signed_in,
        "browser": info.browser or None,
        "address": info.address or None,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _shown_setting(value: t.Any) -> str:
    """A setting for everybody to see: no password, and of an object nothing but its type."""
    if isinstance(value, str):
        return repr(_SECRET_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", value)))
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return f"<{type(value).__name__}>"


def _printable(text: str) -> str:
    """A text that does nothing to a terminal: owners and browsers may be called anything."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
