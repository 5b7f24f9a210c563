"""Find who a call comes from: by its token or its cookie, and the pause that a wrong token costs."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from starlette.requests import cookie_parser
from starlette.types import Scope

from foldstep.service.auth.door import FRESH_S, MISS_S, Caller, Door
from foldstep.service.contract.errors import Forbidden, Unauthorized
from foldstep.service.contract.tokens import PREFIX

_SAFE = ("GET", "HEAD")


async def by_token(door: Door, given: str, address: str) -> Caller:
    """Find who holds a token.

    Raises:
        Unauthorized: nobody does; the answer may be late.
        TooManyRequests: the address has sent too many wrong tokens.
        Unavailable: the database cannot be reached.
    """
    if door.wrong.is_guessable(given):
        door.wrong.refuse_if_over(address)
    caller = door.by_token(given)
    if given.startswith(PREFIX):
        await _refresh(door, is_miss=caller is None)
        caller = door.by_token(given)
    if caller is None:
        await wrong(door, address)
        raise unauthorized()
    return caller


async def wrong(door: Door, address: str) -> None:
    """Count a wrong token or code, and wait as long as its answer is to be late.

    Raises:
        TooManyRequests: the address has sent too many.
    """
    door.wrong.refuse_if_over(address)
    with door.wrong:
        await anyio.sleep(door.wrong.add(address))


async def by_cookie(door: Door, scope: Scope) -> Caller | None:
    """Find who opened the session of a browser's cookie; None where there is none that holds.

    Raises:
        Forbidden: the page of another site makes the call.
    """
    cookie = cookie_parser(header(scope, b"cookie") or "").get(door.cookie)
    if cookie is None:
        return None
    caller = door.by_session(cookie)
    if caller is None or caller.token_id:
        await _refresh(door, is_miss=caller is None)
        caller = door.by_session(cookie)
    if caller is not None:
        _check_own_page(scope)
    return caller


async def _refresh(door: Door, *, is_miss: bool) -> None:
    """Read the table of tokens again where it was read long ago; for a token that is not in it, in any case."""
    began = time.monotonic()
    if is_miss:
        await anyio.sleep(max(0.0, MISS_S - door.age_s))
    if door.age_s > (time.monotonic() - began if is_miss else FRESH_S):  # others who waited too have read it meanwhile
        await anyio.to_thread.run_sync(door.read)


def _check_own_page(scope: Scope) -> None:
    """Refuse a call with a cookie that does not come from a page of this master (CSRF).

    Browsers say where a call comes from, and no script can change what they say. A call that changes something must say
    that it comes from here.

    Raises:
        Forbidden: it comes from elsewhere, or does not say.
    """
    site, is_reading = header(scope, b"sec-fetch-site"), scope["method"] in _SAFE
    if site is not None:
        is_ours = site == "same-origin" or (is_reading and site == "none")
    else:
        is_ours = is_from_here(scope) or (is_reading and header(scope, b"origin") is None)
    if not is_ours:
        raise foreign()


def is_from_here(scope: Scope) -> bool:
    """Tell whether the `Origin` of a call is this master."""
    origin = header(scope, b"origin")
    return origin is not None and urlsplit(origin).netloc == header(scope, b"host")


def foreign() -> Forbidden:
    """Make the refusal of a call that another site's page made."""
    return Forbidden("This call comes from the page of another site; only this master's own page may use its session.")


def unauthorized() -> Unauthorized:
    """Make the refusal of a call without a right token."""
    return Unauthorized("Send a token as `Authorization: Bearer …`; the master's own is in the file `token` of its "
                        "data folder.")  # fmt: skip


def header(scope: Scope, name: bytes) -> str | None:
    """Find a header; None where there is none, or several."""
    found = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else None


def address_of(scope: Scope) -> str:
    """Find the address of the client."""
    return str((scope.get("client") or ("",))[0])


def path_of(scope: Scope) -> str:
    """Find the path below the root path, that a proxy has taken away and the server has put back."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
