#!/bin/bash
# A study as one SLURM job of several nodes, without dask-jobqueue:
#
#     sbatch slurm.sh study.toml
#
#SBATCH --job-name=cart-pkpd
#SBATCH --ntasks=32
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=1G
#SBATCH --time=12:00:00
set -eu

study=${1:?usage: sbatch slurm.sh study.toml}
export CART_PKPD_CORES=${SLURM_CPUS_PER_TASK:-4} OMP_NUM_THREADS=1
# Compiled models, shared by all workers: each is compiled once.
export CART_PKPD_CACHE=${CART_PKPD_CACHE:-$HOME/.cache/cart_pkpd}
scheduler="tcp://$(hostname):8786"

dask scheduler --port 8786 --no-dashboard &
trap 'kill %1' EXIT
srun dask worker "$scheduler" --nthreads 1 --no-dashboard --death-timeout 120 &
cart-pkpd run "$study" --resume --scheduler "$scheduler"
