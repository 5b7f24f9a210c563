"""`tokens`, `page`: who may do what with a master, and the way into its page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from foldstep.connect import DEFAULT_DIR, connect
from foldstep.options import Dir, Json, Token, Url, err, out, print_json
from foldstep.service.contract.tokens import Scope, TokenView

tokens = typer.Typer(no_args_is_help=True, help="Tokens of the master: what each allows, and until when.")


def page(
    search: Annotated[str | None, typer.Argument(metavar="[ID]", help="Search that the page is to show.")] = None,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
) -> None:
    """Print a link that opens the page once, within an hour; it signs the browser in."""
    master = connect(url, token, data_dir)
    found = None if search is None else master.search(search).id
    out.print(master.page_link(found), markup=False, highlight=False, soft_wrap=True)


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What lists will call it.")],
    scope: Annotated[list[Scope], typer.Option(help="What it allows; several times for several.")],
    expires: Annotated[
        str | None, typer.Option(help="How long it is valid: 90s, 10m, 2h, 30d; no end if left out.")
    ] = None,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Make a token and print it, once: the master keeps a digest alone."""
    made = connect(url, token, data_dir).create_token(name, scope, expires_in=expires)
    if as_json:
        print_json(made)
        return
    err.print(f"{made.id}: {_said(made)}. It is shown this once:", markup=False, highlight=False)
    out.print(made.token, markup=False, highlight=False, soft_wrap=True)


@tokens.command("list")
def list_tokens(url: Url = None, token: Token = None, data_dir: Dir = DEFAULT_DIR, as_json: Json = False) -> None:
    """List the tokens that are valid, the oldest first; the master's own is not among them."""
    found = connect(url, token, data_dir).tokens()
    if as_json:
        print_json(found)
        return
    table = Table("id", "name", "scopes", "made", "until", box=None)
    for one in found:
        table.add_row(one.id, one.name, ", ".join(one.scopes), _day(one.created_at), _day(one.expires_at))
    out.print(table)


@tokens.command("revoke")
def revoke_token(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the token, from `foldstep tokens list`.")],
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
) -> None:
    """Revoke a token; the sessions that it opened end with it."""
    connect(url, token, data_dir).revoke_token(token_id)
    out.print(f"{token_id} is revoked.", markup=False)


def _said(made: TokenView) -> str:
    end = "without an end" if made.expires_at is None else f"until {_day(made.expires_at)}"
    return f"{made.name}, for {', '.join(made.scopes)}, {end}"


def _day(at: datetime | None) -> str:
    return "–" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
