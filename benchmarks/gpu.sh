#!/usr/bin/env bash
# One table of what only a GPU tells, in nine minutes: benchmarks/gpu.sh [FILE.csv]
# A machine without the network takes what it lacks from wheels, a folder that the variable WHEELS names.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -d "${WHEELS:-}" ]; then
  "${PYTHON:-python3}" -m pip install --quiet --no-index --no-deps --target build/site-gpu "$WHEELS"/*.whl
fi
export PYTHONPATH="$PWD:$PWD/build/site-gpu${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
exec "${PYTHON:-python3}" benchmarks/gpu.py --csv "${1:-benchmarks/results/gpu.csv}" "${@:2}"
