"""What the sandbox shows of hosts with gates when a person rehearses: something small behind each of them.

It must not know sockets. The person is the one whose secrets ``hosts.MADE_UP`` has: an account everywhere, and not
everything open to it.
"""

from __future__ import annotations

from collections.abc import Mapping

from medfetch.sandbox.hosts import COMMONS, Hosts
from medfetch.sandbox.physionet import USER

SCANS: Mapping[str, bytes] = {f"scans/{number:02d}.nii": b"%d" % number * 40_000 for number in range(40)}
FEW: Mapping[str, bytes] = {**dict(list(SCANS.items())[:3]), "table.csv": b"scan,diagnosis\n" + b"0,1\n" * 500}
FEW_FLAT: Mapping[str, bytes] = {path.rpartition("/")[2]: data for path, data in FEW.items()}


def show(hosts: Hosts) -> None:
    """Fills the hosts."""
    _kaggle(hosts)
    hosts.physionet.publish("sandbox-open", "1.0", FEW, mirrored=True)
    hosts.physionet.publish("sandbox-credentialed", "1.0", FEW, policy="credentialed", approved=[USER])
    hosts.physionet.publish("sandbox-not-approved", "1.0", FEW, policy="credentialed")
    hosts.grand_challenge.archive("sandbox-granted", [{"scan.nii": data} for data in FEW.values()])
    hosts.grand_challenge.archive("sandbox-not-granted", [{"scan.nii": b"x"}], granted=False)
    _hub(hosts)
    _synapse(hosts)
    _repositories(hosts)
    hosts.gen3.put(COMMONS, "approved", SCANS["scans/00.nii"], name="scan.nii")
    hosts.gen3.put(COMMONS, "not-approved", SCANS["scans/01.nii"], name="scan.nii", approved=False)


def _kaggle(hosts: Hosts) -> None:
    hosts.kaggle.dataset("sandbox/few", FEW, version=2, wrapped=frozenset({"table.csv"}))
    hosts.kaggle.dataset("sandbox/many", SCANS)
    hosts.kaggle.competition("sandbox-entered", FEW)
    hosts.kaggle.competition("sandbox-rules-not-accepted", FEW, entered=False)
    hosts.kaggle.competition("sandbox-phone-not-verified", FEW, verified=False)


def _hub(hosts: Hosts) -> None:
    hosts.hub.publish("sandbox/open", FEW)
    hosts.hub.publish("sandbox/approved", FEW, gated="manual", approved=[USER])
    hosts.hub.publish("sandbox/not-agreed", FEW, gated="auto")
    hosts.hub.publish("sandbox/pending", FEW, gated="manual", pending=[USER])
    hosts.hub.publish("sandbox/rejected", FEW, gated="manual", rejected=[USER])


def _synapse(hosts: Hosts) -> None:
    hosts.synapse.folder("syn1", FEW)
    hosts.synapse.folder("syn2", FEW, unmet=["Terms of the sandbox"])
    hosts.synapse.folder("syn3", FEW, failures={"table.csv": "UNAUTHORIZED"})


def _repositories(hosts: Hosts) -> None:
    """The numbers are made up, and so are the DOIs: no such records should be looked for."""
    hosts.zenodo.publish(1001, FEW)
    hosts.zenodo.publish(1003, FEW, access="restricted", shared=True)
    hosts.zenodo.publish(1005, FEW, access="restricted")
    hosts.figshare.publish(1001, FEW_FLAT)
    hosts.mendeley.publish("sandbox001", FEW)
    hosts.osf.publish("sand1", FEW)
    hosts.osf.publish("sand2", FEW, public=False, shared=False)
    hosts.dataverse.publish("sandbox.example", "10.1234/OPEN", FEW)
    hosts.dataverse.publish("sandbox.example", "10.1234/SHUT", FEW, restricted=dict.fromkeys(FEW, False))
    hosts.datacite.register("10.1234/OPEN", "https://sandbox.example/dataset.xhtml?persistentId=doi:10.1234/OPEN")
