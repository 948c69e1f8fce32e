"""How jupyter_client comes to forked kernels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from effnet_lab.regress.forked import LAUNCHER, ForkedKernel, KernelServers
from effnet_lab.regress.kernel_broker import BROKER, ask

_servers = KernelServers()


class ForkingProvisioner(LocalProvisioner):
    """Forks kernels where that can be done at once, or another process does it; others are started as ever."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> KernelConnectionInfo:
        """Launch a kernel with a command."""
        environment = {name: value for name, value in options["env"].items() if name != BROKER}
        place = options.get("cwd") or os.getcwd()
        kernel: Any = _fork(cmd, environment, str(place)) if LAUNCHER in cmd else None
        if kernel is None:
            return await super().launch_kernel(cmd, **options | {"env": environment})
        self.process, self.cwd = kernel, place
        self.pid = self.pgid = kernel.pid
        return self.connection_info


def _fork(command: Sequence[str], environment: Mapping[str, str], folder: str) -> ForkedKernel | None:
    if place := os.environ.get(BROKER):
        with suppress(OSError):  # nobody listens there any more
            return ask(place, command, environment, folder)
    return _servers.fork(command, environment, folder)
