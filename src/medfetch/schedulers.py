"""Job arrays as text: what is handed to a cluster's scheduler, to be read and edited first. It must not know plans.

Each is a shell script that submits two jobs: the array, whose tasks run ``medfetch get --shard``, and one that
verifies when all of them have ended, in whatever way. medfetch is the last line, by ``exec``: a child of the batch
shell would be killed at once where it should be told that its time is up. A task that is parked or killed leaves its
work to the others and to those that come after it: there are as many as fill the expected time.

The options are those of sbatch(1); of qsub(1B) of OpenPBS; of bsub(1) and, for ``-wa`` and ``-wt``, IBM's reference of
LSF 10.1; of qsub(1) of Grid Engine, whose queue_conf(5) says that the soft limit of time sends SIGUSR1; of the API
batch/v1 of Kubernetes.
"""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass

CORES, MEMORY = 2, 1000
"""Of a task; the memory in MB: it mostly waits, and computes digests."""
ROOM = 12
"""Tenths of its bytes that a dataset takes on a volume, with what is kept of it."""
WARNING = 120
"""Seconds before the end of a job at which it is told, if the scheduler can: Slurm may be a minute early."""


@dataclass(frozen=True, slots=True)
class Array:
    """A job array that fetches datasets."""

    name: str
    """Lower-case letters, digits and hyphens."""
    get: tuple[str, ...]
    """The command, without its ``--shard``."""
    verify: tuple[tuple[str, ...], ...]
    """Commands, each if the one before has found nothing wrong."""
    bytes: int
    """Of the datasets, as far as it is known."""
    tasks: int
    at_once: int
    seconds: int
    """That each may take, in whole minutes."""
    environment: Mapping[str, str]
    """Variables of all jobs."""
    path: str
    """The folder of the ``medfetch`` that was asked for this."""
    about: tuple[str, ...]
    """What the numbers come from, a line each."""
    queue: str | None = None
    account: str | None = None

    @property
    def clock(self) -> str:
        """``36:00:00``"""
        return f"{self.seconds // 3600:02d}:{self.seconds // 60 % 60:02d}:00"


def slurm(array: Array) -> str:
    head = _directives(
        "#SBATCH",
        f"--job-name={array.name}",
        f"--array=0-{array.tasks - 1}%{array.at_once}",
        _with("--partition=", array.queue), _with("--account=", array.account),
        f"--time={array.clock}",
        f"--cpus-per-task={CORES} --mem={MEMORY}M",
        "--requeue --open-mode=append",
        f"--signal=B:USR1@{WARNING}",
        f"--output={array.name}-%A_%a.log",
    )  # fmt: skip
    check = _directives(
        "#SBATCH",
        f"--job-name={array.name}-verify",
        _with("--partition=", array.queue), _with("--account=", array.account),
        f"--time={array.clock}",
        f"--cpus-per-task={CORES} --mem={MEMORY}M",
        f"--output={array.name}-verify-%j.log",
    )  # fmt: skip
    return _script(
        array, "a partition whose nodes reach the internet", head, check, "auto",
        submit="sbatch --parsable <<'JOB'", after="sbatch --dependency=\"afterany:${array%%;*}\"",
        say="squeue --me, and",
    )  # fmt: skip


def pbs(array: Array) -> str:
    single = array.tasks == 1
    head = _directives(
        "#PBS",
        f"-N {array.name[:15]}",
        "" if single else f"-J 0-{array.tasks - 1}%{array.at_once}",
        _with("-q ", array.queue), _with("-A ", array.account),
        f"-l walltime={array.clock}",
        f"-l select=1:ncpus={CORES}:mem={MEMORY}mb",
        "-r y",
        "-j oe",
    )  # fmt: skip
    check = _directives(
        "#PBS",
        "-N medfetch-verify",
        _with("-q ", array.queue), _with("-A ", array.account),
        f"-l walltime={array.clock}",
        f"-l select=1:ncpus={CORES}:mem={MEMORY}mb",
        "-j oe",
    )  # fmt: skip
    return _script(
        array, "a queue whose nodes reach the internet; Torque has -t in place of -J, and -l nodes=1:ppn=2",
        head, check, "0/1" if single else f"auto/{array.tasks}", first='cd "$PBS_O_WORKDIR" || exit\n',
        submit="qsub <<'JOB'", after='qsub -W depend=afterany:"$array"', say="qstat -t, and",
    )  # fmt: skip


def lsf(array: Array) -> str:
    head = _directives(
        "#BSUB",
        f'-J "{array.name}[1-{array.tasks}]%{array.at_once}"',
        _with("-q ", array.queue), _with("-P ", array.account),
        f"-W {array.clock[:-3]}",
        f"-n {CORES}", '-R "span[hosts=1]"',
        "-r",
        f"-wa USR1 -wt {WARNING // 60}",
        f"-o {array.name}-%J_%I.log",
    )  # fmt: skip
    check = _directives(
        "#BSUB",
        f"-J {array.name}-verify",
        _with("-q ", array.queue), _with("-P ", array.account),
        f"-W {array.clock[:-3]}",
        f"-n {CORES}", '-R "span[hosts=1]"',
        f"-o {array.name}-verify-%J.log",
    )  # fmt: skip
    return _script(
        array, f"a queue whose hosts reach the internet; memory, as your site counts it: {MEMORY} MB do",
        head, check, "auto",
        submit=r"bsub <<'JOB' | sed -n 's/^Job <\([0-9]*\)>.*/\1/p'", after='bsub -w "ended($array)"',
        say="bjobs -A, and",
    )  # fmt: skip


def sge(array: Array) -> str:
    soft = max(60, array.seconds - WARNING)
    head = _directives(
        "#$",
        "-S /bin/bash",
        f"-N {array.name}",
        f"-t 1-{array.tasks} -tc {array.at_once}",
        _with("-q ", array.queue), _with("-P ", array.account),
        f"-l h_rt={array.seconds},s_rt={soft}",
        "-r y -cwd -j y",
    )  # fmt: skip
    check = _directives(
        "#$",
        "-S /bin/bash",
        f"-N {array.name}-verify",
        _with("-q ", array.queue), _with("-P ", array.account),
        f"-l h_rt={array.seconds}",
        "-cwd -j y",
    )  # fmt: skip
    return _script(
        array, "a queue whose hosts reach the internet; memory and cores, as your site asks for them", head, check,
        "auto", submit="qsub -terse <<'JOB'", after='qsub -hold_jid "${array%%.*}"', say="qstat, and",
    )  # fmt: skip


def k8s(array: Array) -> str:
    """A claim and two Jobs of Kubernetes; the second Job is suspended until the first has ended."""
    variables = {**array.environment, "MEDFETCH_CACHE": "/cache"}
    env = "\n".join(f"            - {{name: {key}, value: {json.dumps(value)}}}" for key, value in variables.items())
    get = json.dumps([*array.get, "--shard", f"auto/{array.tasks}"], ensure_ascii=False)
    verify = json.dumps(["sh", "-ec", "\n".join(map(shlex.join, array.verify))], ensure_ascii=False)

    def container(name: str, command: str) -> str:
        return f"""\
      restartPolicy: Never
      containers:
        - name: {name}
          # Change this: an image in which medfetch is installed.
          image: registry.example/medfetch:latest
          command: {command}
          env:
{env}
          # Log-ins, as a Secret with variables such as HF_TOKEN or KAGGLE_API_TOKEN:
          # envFrom: [{{secretRef: {{name: medfetch-credentials}}}}]
          resources: {{requests: {{cpu: "{CORES}", memory: {MEMORY}Mi}}, limits: {{memory: {MEMORY}Mi}}}}
          volumeMounts:
            - {{name: cache, mountPath: /cache}}
      volumes:
        - name: cache
          persistentVolumeClaim: {{claimName: {array.name}}}"""

    return f"""\
{_comment(array.about)}
#
# Read it, change it, and then:
#   kubectl apply -f FILE
#   kubectl wait --for=condition=complete --timeout=-1s job/{array.name}
#   kubectl patch job/{array.name}-verify --patch '{{"spec": {{"suspend": false}}}}'
# A pod that dies is replaced, and goes on from there. The plan is made by the first.
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {array.name}
spec:
  # Change this: a class whose volumes many nodes may write. Archives take the room of what is in them as well.
  # storageClassName: nfs
  accessModes: [ReadWriteMany]
  resources: {{requests: {{storage: {1 + ROOM * array.bytes // (10 << 30)}Gi}}}}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {array.name}
spec:
  completionMode: Indexed
  completions: {array.tasks}
  parallelism: {array.at_once}
  backoffLimit: {6 * array.tasks}
  template:
    spec:
{container("get", get)}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {array.name}-verify
spec:
  suspend: true
  backoffLimit: 0
  template:
    spec:
{container("verify", verify)}
"""


WRITERS: dict[str, Callable[[Array], str]] = {"slurm": slurm, "pbs": pbs, "lsf": lsf, "sge": sge, "k8s": k8s}


def _directives(mark: str, *options: str) -> str:
    """A line each; with one more ``#``, as no scheduler reads it, those that begin with ``?``."""
    return "\n".join(f"{mark} {option}".replace(f"{mark} ?", f"#{mark} ", 1) for option in options if option)


def _with(option: str, value: str | None) -> str:
    """An option that a person may have to complete."""
    return f"{option}{value}" if value else f"?{option}NAME"


def _script(
    array: Array, where: str, head: str, check: str, shard: str, *, submit: str, after: str, say: str, first: str = ""
) -> str:
    """``submit`` and ``after`` are commands that read a job from a here-document; the former prints its number."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in array.environment.items())
    begin = f"""\
{first}# Change this: how jobs find medfetch. Instead, or before: module load python; conda activate medfetch
export PATH={shlex.quote(array.path)}:"$PATH"
# Change this, unless all nodes see the folder of the cache.
{exports.rstrip()}"""
    *before, last = (shlex.join(command) for command in array.verify)
    verify = "\n".join([*before, f"exec {last}"])
    names = shlex.join(array.verify[-1][2:])
    return f"""\
#!/bin/bash
{_comment(array.about)}
#
# Read it, change it, and run it where jobs are submitted: bash FILE
set -eu

{_comment((f"Change this: {where}; the account, if one is charged.",))}
array=$({submit}
#!/bin/bash
{head}
{begin}
exec {shlex.join(array.get)} --shard {shard}
JOB
)

# Whatever became of the tasks: if something is missing, this job fails and says what. Then run all of this again.
{after} <<'JOB'
#!/bin/bash
{check}
set -e
{begin}
{verify}
JOB

echo "submitted $array; look with {say}" {shlex.quote(f"medfetch status {names}")}
"""


def _comment(lines: tuple[str, ...]) -> str:
    return "\n".join(textwrap.fill(line, 110, initial_indent="# ", subsequent_indent="#   ") for line in lines)
