"""Signs requests to S3 with a person's AWS keys (Signature Version 4). It must not know where the keys were found.

The signature is botocore's, Amazon's own. The keys themselves go nowhere: a signature is good for one request to one
host, for a quarter of an hour, so that a signed request follows no redirect.
"""

from __future__ import annotations

import re

from medfetch.credentials import AccessKey

HOST = re.compile(r"(?:[a-z0-9.-]+\.)?s3(?:[.-]([a-z0-9-]+))?\.amazonaws\.com")
"""S3's hosts; of buckets outside us-east-1 they name the region."""
FIRST_REGION = "us-east-1"
"""What is meant where no region is named; S3's clones take it, too."""


def is_amazons(host: str) -> bool:
    return HOST.fullmatch(host) is not None


def signed(key: AccessKey, method: str, url: str, host: str) -> dict[str, str]:
    """The headers that sign a request without a body: ``url`` as it is sent, ``host`` with its port.

    Other headers may go along: only those of Amazon's own need be signed (S3 API reference, "Authenticating Requests:
    Using the Authorization Header"). With ``key.pays`` its account is charged for the answer ("Downloading objects from
    Requester Pays buckets").
    """
    from botocore.auth import S3SigV4Auth  # as in credentials/aws.py
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    found = HOST.fullmatch(host)
    region = (found[1] if found else None) or FIRST_REGION
    request = AWSRequest(method, url, headers={"x-amz-request-payer": "requester"} if key.pays else {})
    S3SigV4Auth(Credentials(key.id, key.secret, key.session), "s3", region).add_auth(request)
    return dict(request.headers.items())
