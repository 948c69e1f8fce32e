#!/bin/sh
# One night: run the notebooks, compare with the baselines, say nothing but what moved. Exit code 1 when something did.
set -eu
mkdir -p results
out="results/$(date +%F)"
.venv/bin/effnet-lab run --out "$out" >"$out.log" 2>&1 || { tail -n 3 "$out.log"; exit 1; }
.venv/bin/effnet-lab check --results "$out" --complete --junit "$out/junit.xml"
