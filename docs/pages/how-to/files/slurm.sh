#!/bin/bash
# sbatch slurm.sh: a Dask scheduler and a worker per task on Slurm, and a sweep on them. All nodes see this folder.
#SBATCH --job-name=effnet-lab
#SBATCH --ntasks=8
#SBATCH --cpus-per-task=2
#SBATCH --time=04:00:00
set -euo pipefail
address="$PWD/scheduler-$SLURM_JOB_ID.json"
.venv/bin/python -m dask scheduler --scheduler-file "$address" &
srun .venv/bin/python -m dask worker --scheduler-file "$address" --nthreads 1 &
until [ -s "$address" ]; do sleep 1; done
scheduler=$(.venv/bin/python -c 'import json, sys; print(json.load(open(sys.argv[1]))["address"])' "$address")
.venv/bin/effnet-lab sweep point.ipynb --grid grid.yaml --cluster "$scheduler" --out my_sweep
