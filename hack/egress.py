"""The egress lock: nothing that comes from the cluster's network leaves the machine.

A cluster without kube-proxy's rules (at its start, or when they fail) sends what is meant for the address of a
Service out by the default route, and a stranger may answer. So, on a machine whose images we build ourselves, the
network exists and is locked before the first node does. What passes: traffic inside the network (node to node),
and answers to connections that came in (published ports, NodePorts). All else is refused at once.

Not covered: the machine itself as destination.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from problems import CommandFailed, Unlocked

NETWORK = "llminference"
BRIDGE = "br-llminference"
_COMMENT = "llminference egress lock"

# dockerd asks DOCKER-USER before its own rules; it makes no such chain for IPv6 before version 23.
_CHAINS = {"iptables": ("DOCKER-USER", "icmp-admin-prohibited")}
if Path("/proc/net/if_inet6").exists():  # else this machine has no IPv6 at all
    _CHAINS["ip6tables"] = ("FORWARD", "icmp6-adm-prohibited")


def rules(reject_with: str) -> list[list[str]]:
    """Give the lock's rules in their order."""
    tag = ["-m", "comment", "--comment", _COMMENT]
    return [
        ["-i", BRIDGE, "-o", BRIDGE, *tag, "-j", "RETURN"],
        ["-i", BRIDGE, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "--ctdir", "REPLY", *tag, "-j", "RETURN"],
        ["-i", BRIDGE, *tag, "-j", "REJECT", "--reject-with", reject_with],
    ]


def lock() -> None:
    """Put the rules in front of all others, once."""
    unlock()
    for program, (chain, reject_with) in _CHAINS.items():
        for rule in reversed(rules(reject_with)):
            _iptables(program, "-I", chain, "1", *rule)
    check()


def unlock() -> None:
    """Remove the rules, however many times they are there."""
    for program, (chain, reject_with) in _CHAINS.items():
        for rule in rules(reject_with):
            while _succeeds(program, "-C", chain, *rule):
                _iptables(program, "-D", chain, *rule)


def check() -> None:
    """Raise Unlocked unless the rules are there, first in their chain and in the right order."""
    for program, (chain, reject_with) in _CHAINS.items():
        listed = _iptables(program, "-S", chain).splitlines()
        ours = [line for line in listed if line.startswith("-A")][: len(rules(reject_with))]
        ends = [line.rsplit(" -j ", 1)[-1].split()[0] for line in ours if _COMMENT in line and f"-i {BRIDGE}" in line]
        if ends != ["RETURN", "RETURN", "REJECT"]:
            raise Unlocked(
                f"The egress lock is not in place: {program}'s chain {chain} does not begin with its three rules.",
                "run `python hack/cluster.py up`, which puts them back",
            )


def ensure_network() -> None:
    """Make the docker network that the nodes live in, apart from that of other kind clusters."""
    if _succeeds("docker", "network", "inspect", NETWORK):
        return
    # A bridge with a name of ours: the lock can be put on it before it exists, and survives its re-creation.
    option = f"com.docker.network.bridge.name={BRIDGE}"
    _run(["docker", "network", "create", "--driver", "bridge", "--opt", option, NETWORK])


def remove_network() -> None:
    """Remove the network, if it is there; its nodes must be gone."""
    if _succeeds("docker", "network", "inspect", NETWORK):
        _run(["docker", "network", "rm", NETWORK])


def _iptables(program: str, *words: str) -> str:
    return _run([program, "-w", *words])


def _succeeds(program: str, *words: str) -> bool:
    argv = [program, *(["-w"] if program in _CHAINS else []), *words]
    return subprocess.run(argv, capture_output=True, check=False, env=_environment()).returncode == 0


def _run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stderr)
    return done.stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
