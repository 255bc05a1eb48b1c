"""boto3, Amazon's own client, works on the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clients import by_instance, expected, fetch_with_boto3, s3_client
from datasets import sha256, tree, write_recipe
from running import Run

from medfetch.sandbox import Sandbox
from medfetch.sandbox.archive import Archive
from medfetch.sandbox.dicom import Series
from medfetch.sandbox.sigv4 import Account


def test_it_lists_in_pages_and_fetches_in_ranges(
    box: Sandbox, archive: Archive, series: Series, tmp_path: Path
) -> None:
    fetch_with_boto3(box, series, tmp_path)
    assert by_instance(tmp_path) == expected(archive, series)
    pages = [entry for entry in box.log if "list-type=2" in entry.target]
    assert len(pages) == -(-series.count // 50)
    assert all(entry.header("authorization") is None for entry in box.log)


def test_it_downloads_in_parts(box: Sandbox, tmp_path: Path) -> None:
    data = box.put("s3://open/large file.bin", size=20_000_000)
    s3_client(box).download_file("open", "large file.bin", str(tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == data
    ranges = {entry.header("range") for entry in box.log if entry.method == "GET"}
    assert ranges == {"bytes=0-8388607", "bytes=8388608-16777215", "bytes=16777216-"}


def test_it_understands_the_errors(box: Sandbox) -> None:
    client = s3_client(box)
    with pytest.raises(client.exceptions.NoSuchBucket):
        client.list_objects_v2(Bucket="no-such-bucket")
    with pytest.raises(client.exceptions.NoSuchKey):
        client.get_object(Bucket="idc-open-data", Key="no/such/key")
    assert client.list_objects_v2(Bucket="idc-open-data", Prefix="no/such")["KeyCount"] == 0


# -- with a signature ---------------------------------------------------------------------------------------------

ME, STRANGER = Account("AKIAME", "my/secret+key"), Account("AKIASTRANGER", "another")
SESSION = Account("ASIAME", "session/secret", "session//token==")
FILES = {"data set/a+b.nii": b"1" * 500, "data set/case 1/é山.nii": b"2" * 700, "data set/q?x=1&y#z;'~(1)=.bin": b"3"}


def signing(box: Sandbox, account: Account) -> Any:
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: pip install boto3")
    from botocore.config import Config

    return boto3.client(
        "s3", endpoint_url=box.endpoints["s3"], region_name="us-east-1", aws_access_key_id=account.id,
        aws_secret_access_key=account.secret, aws_session_token=account.session,
        config=Config(retries={"max_attempts": 1}),
    )  # fmt: skip


def keys(account: Account) -> dict[str, str]:
    found = {"AWS_ACCESS_KEY_ID": account.id, "AWS_SECRET_ACCESS_KEY": account.secret}
    return found | ({"AWS_SESSION_TOKEN": account.session} if account.session else {})


@pytest.mark.parametrize("account", [ME, SESSION], ids=["keys", "session"])
@pytest.mark.parametrize("pays", [False, True])
def test_what_it_gets_by_signature_medfetch_gets(
    box: Sandbox, run: Run, home: Path, account: Account, pays: bool
) -> None:
    for key, data in FILES.items():
        box.put(f"s3://closed/{key}", data)
    box.s3.close("closed", account, requester_pays=pays)
    client, more = signing(box, account), {"RequestPayer": "requester"} if pays else {}
    listed = client.list_objects_v2(Bucket="closed", Prefix="data set/", **more)["Contents"]
    theirs = {
        each["Key"].removeprefix("data set/"): sha256(
            client.get_object(Bucket="closed", Key=each["Key"], **more)["Body"].read()
        )
        for each in listed
    }
    route = {"source": "s3", "bucket": "closed", "prefix": "data set/"} | ({"requester_pays": True} if pays else {})
    write_recipe(home, "ours", parts={"all": {"routes": [route]}})
    if pays:
        run("agree", "ours", "--step", "ours-charges", "--agreed-on", "2026-11-20", "--as", "Ada Lovelace")
    receipt = run("get", "ours", "--json", **keys(account)).last
    assert tree(Path(receipt["path"])) == theirs == {key[9:]: sha256(data) for key, data in FILES.items()}


@pytest.mark.parametrize(
    ("account", "code", "says"),
    [
        (Account("AKIANOBODY", "x"), "InvalidAccessKeyId", "does not know the access key id"),
        (Account(ME.id, "x"), "SignatureDoesNotMatch", "does not belong to its id"),
        (Account(SESSION.id, SESSION.secret, "x"), "InvalidToken", "session token is wrong"),
        (STRANGER, "AccessDenied", "has not given it leave, or wants whoever downloads to pay"),
        (ME, "AccessDenied", "has not given it leave, or wants whoever downloads to pay"),
    ],
    ids=["no such key", "wrong secret", "wrong session", "no leave", "no payer"],
)
def test_where_it_is_refused_medfetch_is_and_says_why(
    box: Sandbox, run: Run, account: Account, code: str, says: str
) -> None:
    box.put("s3://closed/a", b"a")
    box.s3.close("closed", ME, SESSION, strangers=(STRANGER,), requester_pays=True)
    client = signing(box, account)
    with pytest.raises(client.exceptions.ClientError) as caught:
        client.list_objects_v2(Bucket="closed")
    assert caught.value.response["Error"]["Code"] == code
    assert says in " ".join(run("get", "s3:closed/", code=3, **keys(account)).err.split())
