#!/bin/sh
# Dask over SSH: the scheduler on the first host, a worker with one thread on each; then a sweep on them.
# All hosts see this folder under this name, and have the environment in it.  sh ssh.sh HOST [HOST...]
set -eu
[ $# -ge 1 ] || { echo "Give the names of the hosts: sh ssh.sh HOST [HOST...]" >&2; exit 2; }
.venv/bin/python -m dask ssh --nthreads 1 --remote-python "$PWD/.venv/bin/python" "$@" &
dask=$!
trap 'kill "$dask"' EXIT
sleep 10
.venv/bin/effnet-lab sweep point.ipynb --grid grid.yaml --cluster "tcp://$1:8786" --out my_sweep
