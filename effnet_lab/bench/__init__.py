"""A file and a clock: latency with a guard, the profile of each operator, phones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import offer

if TYPE_CHECKING:
    from effnet_lab.bench.adb import measure_on_device
    from effnet_lab.bench.files import bench
    from effnet_lab.bench.latency import measure_latency
    from effnet_lab.bench.operators import OpProfile, profile

__all__ = ["OpProfile", "bench", "measure_latency", "measure_on_device", "profile"]
offer(
    __name__,
    {
        "adb": ("measure_on_device",),
        "files": ("bench",),
        "latency": ("measure_latency",),
        "operators": ("OpProfile", "profile"),
    },
)
