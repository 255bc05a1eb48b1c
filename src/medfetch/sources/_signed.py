"""Until when a signed link is good, as its own query says. It must not know whose links they are."""

from __future__ import annotations

import calendar
import time
from urllib.parse import parse_qs, urlsplit


def expiry(address: str) -> float | None:
    """Seconds since 1970; None where the link does not say.

    Amazon S3 ("Authenticating Requests: Using Query Parameters") tells date and life, CloudFront ("Creating a signed
    URL using a canned policy") the end.
    """
    query = {name.lower(): values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    try:
        if "expires" in query:
            return float(query["expires"])
        since = calendar.timegm(time.strptime(query["x-amz-date"], "%Y%m%dT%H%M%SZ"))
        return since + float(query["x-amz-expires"])
    except (KeyError, ValueError):
        return None
