"""What a board has to hold and takes: flash, arena, Ethos-U, delegates."""

from __future__ import annotations

from effnet_lab.board.delegates import delegation_table
from effnet_lab.board.ethosu import ACCELERATORS, ethosu, fallbacks
from effnet_lab.board.footprint import arena_map, footprint, high_water
from effnet_lab.board.memory import measure_memory

__all__ = [
    "ACCELERATORS",
    "arena_map",
    "delegation_table",
    "ethosu",
    "fallbacks",
    "footprint",
    "high_water",
    "measure_memory",
]
