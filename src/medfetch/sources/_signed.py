"""Until when a signed link is good, as its own query says. It must not know whose links they are."""

from __future__ import annotations

import base64
import datetime
import json
from urllib.parse import parse_qs, urlsplit


def expiry(address: str) -> float | None:
    """Seconds since 1970; None where the link does not say.

    Amazon S3 ("Authenticating Requests: Using Query Parameters") and Google Cloud Storage ("Signed URLs", V4) tell date
    and life, in their second versions the end, as CloudFront does ("Creating a signed URL using a canned policy"; of a
    custom one it is in ``Policy``). Azure tells the day or the second ("Create a service SAS", ``se``).
    """
    query = {name.lower(): values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    try:
        if "expires" in query:
            return float(query["expires"])
        if "policy" in query:
            return _of_policy(query["policy"])
        if "se" in query:
            return _moment(query["se"])
        cloud = "x-goog-" if "x-goog-date" in query else "x-amz-"
        return _moment(query[f"{cloud}date"]) + float(query[f"{cloud}expires"])
    except (KeyError, ValueError, TypeError, IndexError):
        return None


def _moment(text: str) -> float:
    """Of an ISO 8601 date and time, with or without hyphens and colons; where there is no zone it is UTC."""
    moment = datetime.datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def _of_policy(policy: str) -> float:
    """CloudFront's base64 has ``-_~`` for ``+=/``."""
    content = json.loads(base64.b64decode(policy.replace("-", "+").replace("_", "=").replace("~", "/")))
    return float(content["Statement"][0]["Condition"]["DateLessThan"]["AWS:EpochTime"])
