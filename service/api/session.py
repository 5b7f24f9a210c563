"""Sessions of the page: a one-time link, or a token, becomes a cookie that no script can read."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, status
from fastapi.concurrency import run_in_threadpool

from foldstep.service.api.callers import address_of, by_token, foreign, header, is_from_here, unauthorized, wrong
from foldstep.service.api.deps import InContext
from foldstep.service.api.problems import responses
from foldstep.service.api.strict import StrictRoute
from foldstep.service.auth.door import SESSION_S, Caller, Door
from foldstep.service.contract.errors import Forbidden, Unauthorized
from foldstep.service.contract.tokens import Link, SessionView, SignIn
from foldstep.service.flow.context import Context
from foldstep.service.flow.sign_in import make_link, use_link

router = APIRouter(tags=["session"], route_class=StrictRoute)


@router.post("/session", responses=responses(413, 422))
async def post_session(sent: SignIn, request: Request, response: Response, context: InContext) -> SessionView:
    """Open a session with the code of a one-time link, or with a token; the answer sets a cookie."""
    if header(request.scope, b"origin") is not None and not is_from_here(request.scope):
        raise foreign()
    door: Door = request.app.state.door
    address = address_of(request.scope)
    if sent.token is not None:
        caller = await by_token(door, sent.token, address)
    else:
        caller = await _by_code(door, context, sent.code or "", address)
    response.set_cookie(
        door.cookie,
        door.session(caller),
        max_age=SESSION_S,
        path=_path(request),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return _view(caller)


async def _by_code(door: Door, context: Context, code: str, address: str) -> Caller:
    try:
        token_id = await run_in_threadpool(use_link, context, code)
    except Unauthorized:
        await wrong(door, address)
        raise
    await run_in_threadpool(door.read)
    caller = door.by_id(token_id)
    if caller is None:  # it was revoked, or its time was up, since it asked for the link
        raise unauthorized()
    return caller


@router.get("/session", responses=responses())
def get_session(request: Request) -> SessionView:
    """Tell what the session or token of this call allows."""
    return _view(_caller(request))


@router.delete("/session", status_code=status.HTTP_204_NO_CONTENT, responses=responses())
def delete_session(request: Request, response: Response) -> None:
    """End the session of this browser."""
    response.delete_cookie(request.app.state.door.cookie, path=_path(request), httponly=True, samesite="strict")


@router.post("/session-links", status_code=status.HTTP_201_CREATED, responses=responses())
def post_link(request: Request, context: InContext) -> Link:
    """Make a link that opens the page once, within an hour, with the scopes of this call's token."""
    caller = _caller(request)
    if caller.is_session:
        raise Forbidden("A session makes no links; use a token.")
    return make_link(context, caller.token_id)


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


def _view(caller: Caller) -> SessionView:
    return SessionView(scopes=sorted(caller.scopes))


def _path(request: Request) -> str:
    return request.scope.get("root_path") or "/"
