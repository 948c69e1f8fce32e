"""What a board has to hold and takes: flash, arena, Ethos-U, delegates."""

from __future__ import annotations

from effnet_lab.board.boards import BOARDS, Board, boards
from effnet_lab.board.delegates import delegates
from effnet_lab.board.ethosu import ACCELERATORS, Compiled, ethosu
from effnet_lab.board.footprint import Footprint, estimated_arena, footprint
from effnet_lab.board.memory import measure_memory

__all__ = [
    "ACCELERATORS",
    "BOARDS",
    "Board",
    "Compiled",
    "Footprint",
    "boards",
    "delegates",
    "estimated_arena",
    "ethosu",
    "footprint",
    "measure_memory",
]
