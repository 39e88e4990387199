"""The machine and the versions that a result belongs to, and the cores it is measured on."""

import os
import platform
import ssl
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

# What has a say in the results, where it is installed.
PACKAGES = (
    "bocadillo",
    "starlette",
    "uvicorn",
    "websockets",
    "uvloop",
    "httptools",
    "pydantic",
    "orjson",
    "wsproto",
    "fastapi",
    "litestar",
    "picows",
    "aiohttp",
    "granian",
    "hypercorn",
)


def machine() -> dict[str, str | int | float]:
    """Return what the results depend on beside the programs."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "openssl": ssl.OPENSSL_VERSION,
        "load_average": round(os.getloadavg()[0], 2),
    }


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str | None]:
    """Return the version of each package; None where it is not installed."""
    return {name: _version(name) for name in packages}


def in_words(facts: Mapping[str, object], installed: Mapping[str, str | None]) -> str:
    """Return what `machine` and `versions` returned as two paragraphs."""
    packages = ", ".join(f"{name} {version or 'none'}" for name, version in installed.items())
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['system']}, {facts['python']}, "
        f"{facts['openssl']}; "
        f"load average at the start {facts['load_average']}.\n\n{packages}."
    )


def cores() -> tuple[int, int]:
    """Return the core for the server and the one for the load generator.

    They are the same if there is only one; two threads of one core are avoided.
    """
    allowed = sorted(os.sched_getaffinity(0))
    server = allowed[-1]  # the first is where most interrupts are served
    siblings = _siblings(server)
    apart = [core for core in allowed if core not in siblings]
    return server, (apart or allowed)[0]


def group(leader: int) -> list[int]:
    """Return the processes of the group that process *leader* leads, itself among them."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [pid for pid in pids if _group_of(pid) == leader]


def _group_of(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # it has ended meanwhile
        return None
    # The name, in parentheses, may hold anything; behind it: state, parent, group.
    return int(stat.rpartition(")")[2].split()[2])


def _siblings(core: int) -> set[int]:
    """Return the threads of the core that *core* is a thread of, from "0-1" or "0,4"."""
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    siblings = {core}
    for part in path.read_text().split(",") if path.exists() else ():
        first, _, last = part.partition("-")
        siblings.update(range(int(first), int(last or first) + 1))
    return siblings


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
