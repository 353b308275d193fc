#!/bin/bash
# sbatch slurm.sh: Ray on the machines of a Slurm job, as long as the job. Replace what is written
# in capitals. The folders are shared by all machines.
#SBATCH --job-name=pixelprune
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --exclusive
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@300
set -euo pipefail

# shellcheck source=/dev/null
source "$HOME/pixelprune/bin/activate"

RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
port=$((20000 + SLURM_JOB_ID % 10000))
export RAY_ADDRESS=$SLURMD_NODENAME:$port

# This script runs on the first machine, which has the head of the cluster, too.
ray start --head --port="$port" --num-cpus="$SLURM_CPUS_PER_TASK" --include-dashboard=false \
    --temp-dir="/tmp/ray-$SLURM_JOB_ID" --block &
started=($!)
trap 'kill "${started[@]}" 2>/dev/null' EXIT
for _ in {1..60}; do
    ray status >/dev/null 2>&1 && break
    sleep 2
done

others=$((SLURM_JOB_NUM_NODES - 1))
if ((others > 0)); then
    srun --nodes="$others" --ntasks="$others" --exclude="$SLURMD_NODENAME" \
        --cpus-per-task="$SLURM_CPUS_PER_TASK" \
        ray start --address="$RAY_ADDRESS" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
    started+=($!)
fi

# Machines join while the run works. Five minutes before its time is over, Slurm sends SIGTERM: the
# run ends early and keeps what is done.
pixelprune analyze /SHARED/scans -o /SHARED/pruned --engine ray &
run=$!
trap 'kill -TERM "$run"' TERM
code=0
wait "$run" || code=$?
while kill -0 "$run" 2>/dev/null; do # the signal ended the wait, not the run
    code=0
    wait "$run" || code=$?
done
exit "$code"
