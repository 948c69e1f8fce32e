"""Budget search: CPU time for the whole grid, beside counting the same networks one by one."""

from __future__ import annotations

import time
from dataclasses import replace

from effnet_lab.scaling import get_spec, search, totals

LIMIT_S = 10.0
SAMPLE = 500


def test_search_of_the_whole_grid():
    base = replace(get_spec("lite0"), fixed_ends=False)
    start = time.process_time()
    found = search()
    together = time.process_time() - start
    start = time.process_time()
    for row in found.sample(SAMPLE, random_state=0).itertuples():
        totals(replace(base, width=row.width, depth=row.depth, resolution=row.resolution_px))
    one_by_one = (time.process_time() - start) / SAMPLE * len(found)
    print(
        f"\nsearch: {len(found):,} networks in {together:.1f} s of CPU; "
        f"one by one {one_by_one:.0f} s: {one_by_one / together:.0f}x"
    )
    assert together < LIMIT_S
