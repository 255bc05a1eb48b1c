"""What Kaggle is asked, and what it means by a refusal. It must not know plans, nor what becomes of the files.

Protocol: the REST spellings that kagglesdk 0.1.37 declares for its calls (``endpoint()`` of its request types). Kaggle
itself shows them for curl, and they are GETs, so that a file has an address that stays; the client's own spelling is a
POST to api.kaggle.com. Public datasets need no log-in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from medfetch.errors import Refused, Retryable
from medfetch.sources import Net, _answers
from medfetch.types import Door, Verdict

CREDENTIAL = "kaggle"
PAGE = "200"
"""Files on a page of a list."""
ADDRESS = re.compile(r"/api/v1/(datasets|competitions/data)/download(?:-all)?/([^?]+)")
ADDRESSES = re.compile(r"https?://\S+")
SETTINGS = "https://www.kaggle.com/settings"


@dataclass(frozen=True, slots=True)
class Place:
    """A dataset or a competition."""

    is_dataset: bool
    name: str
    """A dataset's with its owner: ``owner/name``."""
    version: int | None = None

    @classmethod
    def of_address(cls, url: str) -> Place:
        """Of what ``Api.download`` made an address."""
        found = ADDRESS.search(url)
        assert found is not None
        is_dataset = found[1] == "datasets"
        return cls(is_dataset, "/".join(found[2].split("/")[: 2 if is_dataset else 1]))

    @property
    def slug(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def key(self) -> str:
        return f"kaggle:{self.name}@{self.version}" if self.is_dataset else f"kaggle:competitions/{self.name}"

    @property
    def page(self) -> str:
        """Where a person sees it."""
        return f"https://www.kaggle.com/{'datasets' if self.is_dataset else 'competitions'}/{self.name}"


class Api:
    """Kaggle's lists and addresses."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._base = f"{net.endpoint('kaggle')}/api/v1"

    def about(self, place: Place) -> dict[str, Any]:
        """What there is to say of it: ``currentVersionNumber`` of a dataset, ``userHasEntered`` of a competition."""
        kind = "datasets/view" if place.is_dataset else "competitions/get"
        return self._ask(f"{self._base}/{kind}/{place.name}")

    def current_version(self, place: Place) -> int:
        number = self.about(place).get("currentVersionNumber")
        if not isinstance(number, int) or number < 1:
            raise Retryable(f"Kaggle does not tell the version of {place.name}: {number!r}")
        return number

    def files(self, place: Place) -> Iterator[tuple[str, int]]:
        """Path and bytes of each, page by page.

        Raises: Refused where the list breaks off, as those of large competitions did (kaggle-cli issue 836).
        """
        kind, field = ("datasets", "datasetFiles") if place.is_dataset else ("competitions/data", "files")
        url, token = f"{self._base}/{kind}/list/{place.name}", ""
        while True:
            query = _version(place) | {"pageSize": PAGE} | ({"pageToken": token} if token else {})
            page = self._ask(url, query)
            try:
                files = [(str(file["name"]), int(file["totalBytes"])) for file in page.get(field) or []]
            except (KeyError, TypeError, ValueError) as error:
                raise Retryable(f"{url} did not answer with a list of files: {error!r}") from error
            if token and not files:
                raise Refused(
                    f"Kaggle's list of {place.name} breaks off", hint="without a selection all comes in one zip"
                )
            yield from files
            before, token = token, page.get("nextPageToken") or ""
            if not token:
                return
            if token == before:
                raise Retryable(f"{url} answers the same page of its list again and again")

    def download(self, place: Place, file: str | None = None) -> str:
        """The address of one file, or of all in a zip; folders are written %2F."""
        query = "".join(f"?{name}={value}" for name, value in _version(place).items())
        if place.is_dataset:
            return f"{self._base}/datasets/download/{place.name}{_part(file)}{query}"
        all_of_it = "" if file else "-all"
        return f"{self._base}/competitions/data/download{all_of_it}/{place.name}{_part(file)}"

    def _ask(self, url: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        answer = self._net.get(url, query, credential=CREDENTIAL if self._net.has(CREDENTIAL) else None)
        told = _answers.told(answer, url)
        # Some refusals come with status 200.
        code, message = told.get("code"), told.get("message") or told.get("errorMessage")
        if (isinstance(code, int) and code >= 400) or told.get("errorMessage"):
            raise Refused(f"Kaggle answered {code or ''} to {url}: {message}", status=code)
        return told


def _version(place: Place) -> dict[str, str]:
    return {"datasetVersionNumber": str(place.version)} if place.version else {}


def _part(file: str | None) -> str:
    return f"/{quote(file, safe='')}" if file else ""


def verdict(error: Refused, place: Place, logged_in: bool) -> Verdict:
    """What a refusal by Kaggle means.

    The texts were seen in github.com/openai/mle-bench issue 29 and github.com/Kaggle/kaggle-cli issues 152 and 448. A
    phone number that is not verified may also be a 403 without a word.
    Raises: the error itself where it is not Kaggle's (a certificate, a proxy).
    """
    if error.status is None:
        raise error
    # Without the address, in which the name of a dataset could look like a reason.
    text, what = ADDRESSES.sub("", error.message).lower(), unquote(place.name)
    if "accept" in text and "rules" in text:
        return Verdict(Door.RULES, f"the rules of {what} are not accepted yet", f"{place.page}/rules")
    if "phone" in text and "verif" in text:
        return Verdict(Door.NOT_APPROVED, "the phone number of your Kaggle account is not verified", SETTINGS)
    if error.status == 401 or (error.status == 403 and not logged_in):
        if logged_in:
            said = "Kaggle does not know your token: it is wrong, over, or was revoked; a log-in by its own program is"
            said += " renewed by: kaggle auth login --force"
            return Verdict(Door.WRONG_LOGIN, said, SETTINGS)
        return Verdict(Door.NO_LOGIN, f"Kaggle wants a log-in for {what}, and there is no token here", SETTINGS)
    if error.status == 404:
        return Verdict(Door.ABSENT, f"Kaggle has no {what}, or not that version, or it is private", place.page)
    if error.status == 403 and place.is_dataset:
        said = f"{what} is private, or you have to consent to something on its page, or there is no such dataset"
    elif "permission" in text and "competitions.get" in text:
        said = f"there is no competition {what}, or it is not open to you"
    elif error.status == 403:
        said = (
            f"Kaggle gives no reason: the rules of {what} are not accepted, or the phone number of your account is not "
            f"verified ({SETTINGS}), or it is not open to you"
        )
    else:
        said = error.message
    return Verdict(Door.UNCLEAR, said, place.page)
