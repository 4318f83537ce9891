"""Triton as a program: its command line, and what it starts with."""

import os
import secrets
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from llmi_api.failure import FailureCode
from llmi_server.errors import StartupError
from llmi_server.settings import EVERYWHERE, TritonSettings
from llmi_server.triton.trace_flags import FOLLOWING, trace_flags

_RESTRICTED = "model-repository,shared-memory,trace,logging"
"""Parts of Triton's API that load code, write files or read memory: for whoever knows a key, which nobody does."""


def start(
    settings: TritonSettings,
    repository: Path,
    *,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    stderr: int | None = None,
) -> "subprocess.Popen[bytes]":
    """Start it, in a process group of its own.

    Args:
        settings: Where it listens, and how long it drains.
        repository: The models.
        options: More of its flags.
        environment: More variables.
        stderr: Where its log goes; to ours if absent.

    Raises:
        StartupError: It is not there.
    """
    try:
        return subprocess.Popen(  # noqa: S603 - our own command line
            [*_command_line(settings, repository, os.environ), *options],
            env={**child_environment(os.environ, settings), **(environment or {})},
            stderr=stderr,
            process_group=0,
        )
    except OSError as error:
        raise StartupError(
            FailureCode.INVALID_SETTINGS,
            f"Triton cannot be started: {error.strerror or error}: {settings.program_dir / 'bin' / 'tritonserver'}.",
            next_step="Use an image with Triton in it, or set LLMI_PROGRAM_DIR to where it is.",
        ) from None


def _command_line(settings: TritonSettings, repository: Path, environment: Mapping[str, str]) -> list[str]:
    """Return the command that starts Triton."""
    host = "0.0.0.0" if settings.host == EVERYWHERE else settings.host  # noqa: S104 - a pod's address is not known
    return [
        str(settings.program_dir / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={settings.program_dir / 'backends'}",
        f"--http-address={host}",
        f"--http-port={settings.port}",
        "--allow-grpc=false",
        f"--metrics-address={host}",
        f"--metrics-port={settings.metrics_port}",
        f"--exit-timeout-secs={settings.drain_seconds}",
        f"--http-restricted-api={_RESTRICTED}:llmi-key={secrets.token_hex()}",
        *trace_flags(environment, settings),
    ]


def child_environment(environment: Mapping[str, str], settings: TritonSettings) -> dict[str, str]:
    """Return what Triton and its back end start with: the latter runs the first ``python3`` on the path, so ours."""
    libraries = [
        environment.get("LD_LIBRARY_PATH"),
        str(settings.program_dir / "lib"),
        sysconfig.get_config_var("LIBDIR"),
    ]
    programs = [str(Path(sys.executable).parent), environment.get("PATH")]
    return {
        **environment,
        **(FOLLOWING if trace_flags(environment, settings) else {}),
        "PATH": os.pathsep.join(filter(None, programs)),
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
    }
