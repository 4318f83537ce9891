"""Docker: the one that answers, or one that we install and start, where we may; and the few images calls we need."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from cache import cache_root, remove_tree
from problems import NoDocker
from steps import last_lines, say, sh

DOCKER_PACKAGES = ("docker.io",)
BUILD_PACKAGES = ("debootstrap", "debian-archive-keyring", "iptables", "iproute2")
START_SECONDS = 40.0
STOP_SECONDS = 40.0
CAP_SYS_RESOURCE = 24
_CONTAINERD = Path("/var/run/docker/containerd")  # where dockerd keeps the one that it starts
_WRAPPER = Path(__file__).resolve().parent / "node" / "runc-nores"


def answers() -> bool:
    """Tell whether a Docker daemon answers at the place that the client is set to."""
    return _output("docker", "version", "--format", "{{.Server.Version}}") is not None


def ensure_docker(log: Path) -> None:
    """Find a Docker that answers; else install and start the distribution's, saying so, if that is allowed."""
    if answers():
        return
    if "permission denied" in _complaint():
        raise NoDocker(
            "Docker runs here, but you may not use it.",
            "join the group `docker` (sudo usermod -aG docker $USER, then log in again), or run the command as root",
        )
    if os.environ.get("DOCKER_HOST"):
        raise NoDocker(
            f"No Docker answers at DOCKER_HOST={os.environ['DOCKER_HOST']}.",
            "start it, or unset DOCKER_HOST to let a local one be used",
        )
    if os.geteuid() != 0 or _distribution() is None:
        raise NoDocker(
            "No Docker answers, and it can be installed and started here only by root on Debian or Ubuntu.",
            "install and start Docker (https://docs.docker.com/engine/install), "
            "check `docker version`, then run the same command again",
        )
    if shutil.which("dockerd") is None or shutil.which("docker") is None:
        say(f"There is no Docker here: installing {_distribution()}'s package {DOCKER_PACKAGES[0]}.")
        install_packages(DOCKER_PACKAGES, log)
        if shutil.which("docker") is None:  # newer releases have the client in a package of its own
            install_packages(("docker-cli",), log)
        if _wait_until_up(3):  # with systemd, the package starts it
            return
    if Path("/run/systemd/system").is_dir():
        say("Docker does not run: starting its systemd service.")
        sh(["systemctl", "start", "docker"], log)
        if not _wait_until_up(START_SECONDS):
            raise NoDocker("The docker service was started but does not answer.", "see `journalctl -u docker`")
        return
    _start_dockerd()


def ensure_packages(log: Path) -> None:
    """Install the packages that an offline build needs on the machine itself, saying so."""
    programs = {"debootstrap": "debootstrap", "iptables": "iptables", "ip": "iproute2"}
    missing = [package for program, package in programs.items() if not _which(program)]
    if not missing:
        return
    if os.geteuid() != 0 or _distribution() is None:
        raise NoDocker(
            f"Building without an image registry needs {', '.join(missing)}, and root on Debian or Ubuntu.",
            "install them and run the command as root, or use a machine where images can be pulled",
        )
    say(f"Installing {_distribution()}'s packages: {', '.join(BUILD_PACKAGES)}.")
    install_packages(BUILD_PACKAGES, log)


def install_packages(packages: tuple[str, ...], log: Path) -> None:
    """Install packages of the distribution without questions, and without what they only recommend."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    sh(["apt-get", "-q", "update"], log, quiet)
    sh(["apt-get", "-q", "install", "-y", "--no-install-recommends", *packages], log, quiet)


def stop_own_docker() -> bool:
    """Stop the daemon that we started, if there is one; tell whether there was."""
    pid = _own_pid()
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _own_pid() is not None and time.monotonic() < deadline:
        time.sleep(0.2)
    if _own_pid() is not None:
        raise NoDocker(
            f"dockerd (process {pid}), which we started, does not stop.", f"look at {_engine_dir()}/dockerd.log"
        )
    _pid_file().unlink(missing_ok=True)
    return True


def remove_own_docker_data() -> None:
    """Remove images and everything else of the daemon that we started; it must be stopped."""
    _unmount_all(_data_dir())
    remove_tree(_data_dir())
    remove_tree(_engine_dir())


def _unmount_all(folder: Path) -> None:
    """Take away what a killed daemon has left mounted: its data folder on itself, and containers' file systems."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in reversed(points):
        if Path(point).is_relative_to(folder):
            subprocess.run(["umount", "--lazy", point], check=True)


def own_docker_pid() -> int | None:
    """Tell the process id of the daemon that we started, if it runs."""
    return _own_pid()


def has_image(name: str) -> bool:
    """Tell whether Docker has the image."""
    return image_id(name) is not None


def image_id(name: str) -> str | None:
    """Tell the id of an image that Docker has."""
    return _output("docker", "image", "inspect", "--format", "{{.Id}}", name)


def name_by_contents(image: str) -> str:
    """Give an image's name with a tag made from its contents: a rebuilt one is another, an unchanged one is not."""
    identity = (image_id(image) or "").removeprefix("sha256:")[:12]
    return f"{image.rpartition(':')[0]}:{identity}"


def image_ids(repository: str) -> list[str]:
    """List the ids of all images whose name matches, whatever their tag."""
    return sorted(set((_output("docker", "images", "--quiet", repository) or "").split()))


def remove_other_tags(repository: str, keep: set[str]) -> None:
    """Remove the tags of older builds; one that a container still uses stays, and goes the next time."""
    listed = _output("docker", "images", "--format", "{{.Repository}}:{{.Tag}}", repository) or ""
    for name in set(listed.split()) - keep:
        _output("docker", "image", "rm", name)


def import_image(tar: Path, name: str, log: Path, changes: tuple[str, ...] = ()) -> None:
    """Make an image of one layer from a tree in a tar file."""
    flags = [word for change in changes for word in ("--change", change)]
    sh(["docker", "import", *flags, tar, name], log)


def legacy_builder() -> dict[str, str]:
    """Give the environment for `docker build`: the classic builder where the client has no buildx."""
    return {} if _output("docker", "buildx", "version") else {"DOCKER_BUILDKIT": "0"}


def _complaint() -> str:
    if shutil.which("docker") is None:
        return ""
    return subprocess.run(["docker", "version"], capture_output=True, text=True, check=False).stderr.lower()


def _start_dockerd() -> None:
    engine = _engine_dir()
    engine.mkdir(parents=True, exist_ok=True)
    argv = ["dockerd", "--pidfile", str(_pid_file()), "--data-root", str(_data_dir())]
    # Limits that a kind node needs, and that a daemon without CAP_SYS_RESOURCE cannot raise any further.
    argv += ["--exec-opt", "native.cgroupdriver=cgroupfs", "--default-ulimit", "nofile=20000:20000"]
    if lacks_sys_resource(Path("/proc/self/status").read_text()):
        wrapper = engine / _WRAPPER.name
        shutil.copy(_WRAPPER, wrapper)
        argv += ["--add-runtime", f"nores={wrapper}", "--default-runtime", "nores"]
    say(f"Docker does not run: starting dockerd (log {engine}/dockerd.log; `down` stops it).")
    _pid_file().unlink(missing_ok=True)  # of a daemon that was killed; dockerd refuses to start beside it
    _end_leftover_containerd()
    with (engine / "dockerd.log").open("ab") as out:
        # A session of its own, so that it outlives make and this terminal.
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/"
        )
    if not _wait_until_up(START_SECONDS, process):
        tail = "\n".join(last_lines(engine / "dockerd.log", 8))
        raise NoDocker(
            f"dockerd was started but does not answer; its log {engine}/dockerd.log ends with:\n{tail}",
            "correct what it complains about, or start Docker yourself, then run the same command again",
        )


def _end_leftover_containerd() -> None:
    """End the containerd of a dockerd that was killed: a new dockerd would wait for it instead of starting its own."""
    pid_file = _CONTAINERD / "containerd.pid"
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        pid = int(pid_file.read_text())
        if str(_CONTAINERD / "containerd.toml") in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)
    pid_file.unlink(missing_ok=True)


def lacks_sys_resource(status: str) -> bool:
    """Read from /proc/self/status whether this machine withholds CAP_SYS_RESOURCE."""
    for line in status.splitlines():
        if line.startswith("CapBnd:"):
            return not int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1
    return False


def _wait_until_up(seconds: float, process: subprocess.Popen[bytes] | None = None) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answers():
            return True
        if process is not None and process.poll() is not None:
            return False
        time.sleep(0.3)
    return False


def _engine_dir() -> Path:
    return cache_root() / "engine"


def _data_dir() -> Path:
    return cache_root() / "docker"


def _pid_file() -> Path:
    return _engine_dir() / "dockerd.pid"


def _own_pid() -> int | None:
    try:
        pid = int(_pid_file().read_text())
        # "pid (name) state …"; a process that has ended but that nobody has waited for is a zombie, and gone
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition(" (")[2].rpartition(") ")
    except (OSError, ValueError):
        return None
    return pid if name == "dockerd" and not rest.startswith("Z") else None


def _distribution() -> str | None:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return None
    release = {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
    family = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    return release.get("NAME", "Debian") if family & {"debian", "ubuntu"} else None


def _which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _output(*argv: str) -> str | None:
    """Give what a command prints, or nothing if it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
