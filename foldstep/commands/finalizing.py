"""`finalize`: the final model of a search, and its score on the test part."""

from __future__ import annotations

from foldstep.connect import DEFAULT_DIR, connect
from foldstep.options import Dir, Json, SearchId, Token, Url, out, print_json
from foldstep.service.contract.ensemble import EnsembleMember


def finalize(
    search: SearchId, url: Url = None, token: Token = None, data_dir: Dir = DEFAULT_DIR, as_json: Json = False
) -> None:
    """Make the final model of a search that is over, and score it once on the test part."""
    model = connect(url, token, data_dir).finalize(search)
    if as_json:
        print_json(model)
        return
    trials = ", ".join(f"{_name(member)} ({member.weight:.0%})" for member in model.members)
    out.print(f"The final model of {model.search}: trials {trials}.", markup=False, highlight=False)
    for sentence in model.sentences:
        out.print(f"• {sentence}", markup=False, highlight=False)


def _name(member: EnsembleMember) -> str:
    return str(member.trial) if member.search is None else f"{member.trial} of {member.search}"
