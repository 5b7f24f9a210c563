"""Tokens: make one, list them, revoke one."""

from __future__ import annotations

from fastapi import APIRouter, Request, status

from foldstep.service.api.deps import InContext
from foldstep.service.api.problems import responses
from foldstep.service.api.strict import StrictRoute
from foldstep.service.contract.tokens import TokenCreated, TokenRequest, TokenView
from foldstep.service.flow import tokens

router = APIRouter(prefix="/tokens", tags=["tokens"], route_class=StrictRoute)


@router.post("", status_code=status.HTTP_201_CREATED, responses=responses(409, 422))
def post_token(sent: TokenRequest, context: InContext, request: Request) -> TokenCreated:
    """Make a token with scopes; this answer alone has its secret."""
    made = tokens.create(context, sent)
    request.app.state.door.read()
    return made


@router.get("", responses=responses())
def get_tokens(context: InContext) -> list[TokenView]:
    """List the tokens that are valid; the master's own is not among them."""
    return tokens.all_tokens(context)


@router.delete("/{token_id}", status_code=status.HTTP_204_NO_CONTENT, responses=responses(404))
def delete_token(token_id: str, context: InContext, request: Request) -> None:
    """Revoke a token; sessions that it opened end with it. Other masters notice within two seconds."""
    tokens.revoke(context, token_id)
    request.app.state.door.read()
