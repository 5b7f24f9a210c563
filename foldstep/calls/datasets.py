"""Calls of the client: data sets and files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from pydantic import TypeAdapter

from foldstep.calls.base import Calls
from foldstep.file_body import FileBody
from foldstep.service.contract.connection import READING_DATA
from foldstep.service.contract.dataset import DataReport, Dataset, Replaced
from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.reading import AS_FOUND, ReadingOptions
from foldstep.service.contract.submit import DatasetRegistration, DatasetSource

_DATASETS = TypeAdapter(list[Dataset])


class DatasetCalls(Calls):
    """Data sets and files."""

    def datasets(self) -> list[Dataset]:
        """List the registered data sets, by name."""
        return self._all("/datasets", _DATASETS)

    def dataset(self, name: str) -> Dataset:
        """Get one data set."""
        return Dataset.model_validate_json(self._get(f"/datasets/{quote(name, safe='')}"))

    def data_report(self, name: str, *targets: str) -> DataReport:
        """Get the report on a data set before anything trains, and on some of its columns as targets."""
        path = f"/datasets/{quote(name, safe='')}/report"
        answer = self.connection.request("GET", path, params={"target": targets}, timeout=READING_DATA)
        return DataReport.model_validate_json(answer.content)

    def has_file(self, sha256: str) -> bool:
        """Tell whether a file was uploaded; it is named by the SHA-256 of its bytes, as hexadecimal digits."""
        try:
            self.connection.request("GET", f"/files/{sha256}")
        except NotFound:
            return False
        return True

    def upload_file(self, path: Path, *, on_progress: Callable[[int, int], object] | None = None) -> str:
        """Upload a local file, unless the master has it, and return its SHA-256.

        Args:
            path: of the file on this machine.
            on_progress: called with the bytes sent so far and the file's size in bytes, where something is sent.

        Raises:
            InvalidInput: the file changed while it was sent.
            TooLarge: it is larger than the master takes.
        """
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if not self.has_file(sha256):
            content = FileBody(path, on_progress)
            headers = {"Content-Length": str(content.size)}
            self.connection.request("PUT", f"/files/{sha256}", content=content, headers=headers, timeout=READING_DATA)
        return sha256

    def search_data(self, search: str) -> DataReport:
        """Get the report on the data that a search trains on."""
        return DataReport.model_validate_json(self._get(f"/searches/{search}/data"))

    def upload_dataset(
        self,
        name: str,
        path: Path,
        *,
        options: ReadingOptions = AS_FOUND,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Dataset:
        """Register a local file under a name; its content is uploaded, unless the master has it.

        Args:
            name: what specs call it.
            path: of the file on this machine.
            options: how it is read.
            on_progress: as for `upload_file`.

        Raises:
            NameTaken: the name stands for other data; see `replace_dataset`.
        """
        sha256 = self.upload_file(path, on_progress=on_progress)
        return self.register_dataset(name, path.name, file=sha256, options=options)

    def register_dataset(
        self, name: str, source: str, *, file: str | None = None, options: ReadingOptions = AS_FOUND
    ) -> Dataset:
        """Register a file that the master can read, one of scikit-learn's sets, or an uploaded file, under a name.

        Args:
            name: what specs call it.
            source: path of the file on the master, or name of the set; what an uploaded file is called.
            file: SHA-256 of an uploaded file.
            options: how it is read.

        Raises:
            NameTaken: the name stands for other data; see `replace_dataset`.
        """
        sent = DatasetRegistration(name=name, source=source, file=file, options=options)
        return Dataset.model_validate_json(self._post_record("/datasets", sent))

    def replace_dataset(
        self,
        name: str,
        path: Path,
        *,
        options: ReadingOptions = AS_FOUND,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Replaced:
        """Let a name stand for the data of a local file; searches that have begun keep theirs.

        Raises:
            NotFound: no data set has that name.
        """
        self.dataset(name)  # before anything is sent
        sha256 = self.upload_file(path, on_progress=on_progress)
        sent = DatasetSource(source=path.name, file=sha256, options=options)
        return Replaced.model_validate_json(self._post_record(f"/datasets/{quote(name, safe='')}:replace", sent))

    def delete_dataset(self, name: str) -> None:
        """Forget a data set; searches that have begun keep theirs."""
        self.connection.request("DELETE", f"/datasets/{quote(name, safe='')}")
