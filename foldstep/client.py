"""The Python client: one method for each REST call that a user can make.

from foldstep import Foldstep
master = Foldstep("http://127.0.0.1:8765", token="…")
search = master.submit({"name": "digits", "data": {"dataset": "digits"}, …})
master.wait(search.id)
for row in master.leaderboard(search.id).rows: …
"""

from __future__ import annotations

from foldstep.calls.answers import AnswerCalls
from foldstep.calls.datasets import DatasetCalls
from foldstep.calls.master import MasterCalls
from foldstep.calls.searches import SearchCalls
from foldstep.calls.trials import TrialCalls
from foldstep.service.contract.connection import Connection


class Foldstep(SearchCalls, TrialCalls, AnswerCalls, DatasetCalls, MasterCalls):
    """A client of one master.

    A search is named by its id, by its name where one search alone has it, or by the beginning of its id where no other
    id begins so.

    Attributes:
        connection: the HTTP connection to the master.

    Args:
        url: address of the master.
        token: the master's token.
        patience_s: seconds for which a request is retried while the master cannot be reached.
    """

    def __init__(self, url: str, token: str, *, patience_s: float = 0.0) -> None:
        self.connection = Connection(url, token, patience_s=patience_s)
        self.url = self.connection.url

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
