"""The exceptions of Foldstep that a user or client may see.

    FoldstepError
    ├── InvalidInput            what was sent cannot be used as it is
    │   ├── SpecInvalid             a spec with faults, all of them named
    │   ├── DatasetUnreadable       a file that is no table
    │   ├── ModelUnreadable         a file that is no whole model
    │   ├── FitRefused              what an estimator was given; also a ValueError
    │   ├── PathNotAllowed          a file outside the allowed roots
    │   └── TooLarge                more bytes than the master takes
    ├── NotFound                there is no such search, trial, data set, worker, lease, checkpoint
    ├── Conflict                the request and the present state do not go together
    │   ├── IllegalTransition       a state change that the transition table does not have
    │   ├── LeaseLost               a report under a token that is no longer the lease's
    │   ├── NameTaken               a data set of that name holds other data
    │   ├── KeyReused               another request was sent under that Idempotency-Key
    │   └── Ambiguous               a word that names several searches
    ├── NothingTrained          an estimator's search that ended without a score; also a RuntimeError
    ├── Unauthorized            no token, or not the right one
    ├── Forbidden               a right token without the scope for the call, or a call that another site's page made
    ├── TooManyRequests         more calls than a token may make, or too many wrong tokens
    └── Unavailable             the master cannot be reached, or is shutting down
        └── DatabaseDamaged         the database's file is not whole, or is none

The `code` of a class is stable: clients may match on it. Which HTTP status a class becomes is decided in
`service/api/problems.py`, nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

MAX_FAULTS = 50
"""Faults of one input that are listed; of more only the number is told."""
UNLISTED = "unlisted"
"""The code of a fault that is only counted, for there are more than `MAX_FAULTS`."""
_LONGEST_MESSAGE, _LONGEST, _LONGEST_PATH = 200_000, 2000, 400  # characters


class Fault(BaseModel):
    """One fault in a user's input.

    Attributes:
        code: stable name of the kind of fault, e.g. `unknown_key`, `out_of_domain`, `reversed_range`.
        path: the place of the fault, as `parameters.lr.low`; empty for the whole.
        expected: the right content, in words.
        got: the wrong content, as text; None when nothing was there.
        hint: advice, one sentence without a final full stop; None when `expected` says enough.
        where: the place in the text that was read, as `line 7` or `houses.yaml line 7`; None where there was no text.
    """

    model_config = ConfigDict(frozen=True)

    code: str
    path: str
    expected: str
    got: str | None = None
    hint: str | None = None
    where: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, fields: Any) -> Any:
        """Cut texts that somebody made long, and show halves of characters as what they are."""
        if not isinstance(fields, dict):
            return fields
        limits = {"path": _LONGEST_PATH, "got": _LONGEST_PATH}
        return {k: shown(v, limits.get(k, _LONGEST)) if isinstance(v, str) else v for k, v in fields.items()}

    def __str__(self) -> str:
        got = "nothing was there" if self.got is None else f"got {self.got}"
        hint = f"; {self.hint}" if self.hint else ""
        where = f"{self.where}: " if self.where else ""
        return f"{where}{self.path or 'spec'}: expected {self.expected}, {got}{hint}"


def shown(text: str, longest: int = _LONGEST_PATH) -> str:
    """Make any text fit to be sent and shown: cut after so many characters, without halves of characters."""
    cut = text if len(text) <= longest else f"{text[:longest]}…"
    return cut if cut.isascii() else cut.encode(errors="backslashreplace").decode()


class FoldstepError(Exception):
    """Base of every refusal.

    Attributes:
        code: stable machine-readable name.
        message: one sentence that says what is wrong and what to do.
        faults: the single faults, where there are several or where the path of the fault is known.
        n_faults: number of all faults, of which `faults` may be the first.
        status: at a client, the HTTP status of the answer that it came with; None where it came with none.
    """

    code: ClassVar[str] = "error"
    status: int | None = None

    def __init__(self, message: str, *, faults: Sequence[Fault] = (), n_faults: int | None = None) -> None:
        message = shown(message, _LONGEST_MESSAGE)
        super().__init__(message)
        self.message = message
        self.faults = tuple(faults)
        self.n_faults = len(self.faults) if n_faults is None else n_faults

    def problem(self) -> dict[str, Any]:
        """Build the fields of an RFC 9457 problem document that do not depend on HTTP."""
        return {
            "code": self.code,
            "title": type(self).__name__,
            "detail": self.message,
            "faults": [f.model_dump() for f in self.faults],
            "n_faults": self.n_faults,
        }


class InvalidInput(FoldstepError):
    """What was sent cannot be used as it is."""

    code = "invalid_input"


class SpecInvalid(InvalidInput):
    """A spec with faults; `faults` names every one, or the first `MAX_FAULTS`."""

    code = "spec_invalid"

    def __init__(self, faults: Sequence[Fault], n_faults: int | None = None) -> None:
        n_faults = len(faults) if n_faults is None else n_faults
        listed = faults[:MAX_FAULTS]
        sentences = [
            f"{fault}." if fault.hint is None or not fault.hint.endswith("?") else str(fault) for fault in listed
        ]
        noun = "fault" if n_faults == 1 else "faults"
        first = f", of which these are the first {len(listed)}" if n_faults > len(listed) else ""
        message = f"The spec has {n_faults:,} {noun}{first}: " + " ".join(sentences)
        super().__init__(message, faults=listed, n_faults=n_faults)


class DatasetUnreadable(InvalidInput):
    """A file that cannot be read as a table; the first fault's code says why."""

    code = "dataset_unreadable"


class ModelUnreadable(InvalidInput):
    """A file that cannot be used as a model; the first fault's code says why."""

    code = "model_unreadable"


class FitRefused(InvalidInput, ValueError):
    """What an estimator was given cannot be used; scikit-learn's callers expect a `ValueError`."""

    code = "fit_refused"


class PathNotAllowed(InvalidInput):
    """A file outside the roots that the master may read."""

    code = "path_not_allowed"


class TooLarge(InvalidInput):
    """More bytes than the master takes."""

    code = "too_large"


class NotFound(FoldstepError):
    """There is no such thing."""

    code = "not_found"


class Conflict(FoldstepError):
    """The request and the present state do not go together."""

    code = "conflict"


class IllegalTransition(Conflict):
    """A state change that the transition table does not have, or that came too late."""

    code = "illegal_transition"


class LeaseLost(Conflict):
    """A report under a token that is no longer the lease's; the worker drops that work and continues."""

    code = "lease_lost"


class NameTaken(Conflict):
    """A data set of that name is registered with other data."""

    code = "name_taken"


class KeyReused(Conflict):
    """Another request was sent under that `Idempotency-Key`; take a new key for each submission."""

    code = "key_reused"


class Ambiguous(Conflict):
    """A name, or the beginning of an id, that several searches have."""

    code = "ambiguous"


class NothingTrained(FoldstepError, RuntimeError):
    """The search of an estimator ended before a trial had a score."""

    code = "nothing_trained"


class Unauthorized(FoldstepError):
    """No token, or not the right one."""

    code = "unauthorized"


class Forbidden(FoldstepError):
    """A right token without the scope for the call, or a call that another site's page made."""

    code = "forbidden"


class TooManyRequests(FoldstepError):
    """More calls than a token may make, or too many wrong tokens."""

    code = "too_many_requests"


class Unavailable(FoldstepError):
    """The master cannot be reached, or is shutting down."""

    code = "unavailable"


class DatabaseDamaged(Unavailable):
    """The database's file is not whole, or is none."""

    code = "database_damaged"


def error_from_problem(problem: dict[str, Any]) -> FoldstepError:
    """Rebuild the typed error from a problem document, for clients; an unknown code gives the base class."""
    faults = [Fault.model_validate(f) for f in problem.get("faults", [])]
    cls = _BY_CODE.get(str(problem.get("code")), FoldstepError)
    error = cls.__new__(cls)
    FoldstepError.__init__(
        error, str(problem.get("detail", "unknown error")), faults=faults, n_faults=problem.get("n_faults")
    )
    return error


def _subclasses(cls: type[FoldstepError]) -> list[type[FoldstepError]]:
    return [cls, *(s for direct in cls.__subclasses__() for s in _subclasses(direct))]


_BY_CODE = {cls.code: cls for cls in _subclasses(FoldstepError)}
