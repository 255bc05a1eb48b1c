"""The same series through the Imaging Data Commons and through NBIA: the same places, the same instances."""

from __future__ import annotations

import io

import pydicom
import requests
from plain_net import PlainNet

from medfetch import sources
from medfetch.sandbox import Sandbox
from medfetch.sources import Members
from medfetch.types import Group, Selection

TWO_SUBJECTS = Selection({"subject": ("LIDC-IDRI-0001", "LIDC-IDRI-0002")})


def test_both_routes_plan_the_same_and_bring_the_same_bytes() -> None:
    with Sandbox(max_instance_bytes=4000) as box:
        planned: dict[str, list[Group]] = {}
        contents: dict[str, dict[str, bytes]] = {}
        for name, collection in (("idc", "lidc_idri"), ("tcia", "LIDC-IDRI")):
            source = sources.get(name)
            assert isinstance(source, Members)
            net = PlainNet(source.traits, **box.endpoints)
            locator = {"collection": collection, "modality": ["CT", "DX"]}
            found = source.resolve(locator, net, TWO_SUBJECTS)
            planned[name] = [entry for entry in found if isinstance(entry, Group)]
            smallest = min(planned[name], key=lambda group: group.files or 0)
            bodies = [requests.get(member.urls[0], timeout=30).content for member in source.members(smallest, net)]
            contents[name] = {str(pydicom.dcmread(io.BytesIO(body)).SOPInstanceUID): body for body in bodies}
            assert len(bodies) == smallest.files

    comparable = {name: [(group.path, group.files) for group in groups] for name, groups in planned.items()}
    assert comparable["idc"] == comparable["tcia"] != []
    assert contents["idc"] == contents["tcia"] != {}
