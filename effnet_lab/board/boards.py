"""Microcontroller boards, and whether a network has room on them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from effnet_lab import frames

KIB = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """What a board can hold."""

    processor: str
    flash_kib: int  # on the chip or beside it, as the board is sold
    ram_kib: int  # all of the chip's own, which may lie in several banks
    source: str


BOARDS = {
    "nrf52840": Board(
        processor="Cortex-M4F, 64 MHz", flash_kib=1024, ram_kib=256, source="Nordic, nRF52840 product specification"
    ),
    "pico": Board(
        processor="RP2040, 2 x Cortex-M0+, 133 MHz", flash_kib=2048, ram_kib=264, source="Raspberry Pi, Pico datasheet"
    ),
    "stm32f746": Board(processor="Cortex-M7, 216 MHz", flash_kib=1024, ram_kib=320, source="ST, DS10916"),
    "stm32h747": Board(
        processor="Cortex-M7, 480 MHz, and Cortex-M4", flash_kib=2048, ram_kib=1024, source="ST, DS12930"
    ),
    "esp32-s3": Board(
        processor="2 x Xtensa LX7, 240 MHz", flash_kib=8192, ram_kib=512, source="Espressif, ESP32-S3-WROOM-1-N8"
    ),
    "teensy-4.0": Board(processor="i.MX RT1062, Cortex-M7, 600 MHz", flash_kib=1984, ram_kib=1024, source="PJRC"),
}


def boards() -> pd.DataFrame:
    """BOARDS frame of all that are known here."""
    rows = [
        {"board": name, "processor": board.processor, "source": board.source}
        | {"board_flash_bytes": board.flash_kib * KIB, "board_ram_bytes": board.ram_kib * KIB}
        for name, board in BOARDS.items()
    ]
    return frames.build(frames.BOARDS, rows)
