#!/usr/bin/env bash

#SBATCH -J grjca
#SBATCH -e /logs/grjca-%J.err
#SBATCH -o /logs/grjca-%J.out
#SBATCH -p cpu
#SBATCH -A lab
#SBATCH -n 1
#SBATCH --cpus-per-task=8
#SBATCH --mem=15G
#SBATCH -t 04:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --no-requeue
#SBATCH --gres=gpu:2
#SBATCH --exclude=node7
module load ffmpeg
exec /opt/py/bin/python -m distributed.cli.dask_worker tcp://HOST:8786 --name grjca-0 --nthreads 8 --memory-limit 14.90GiB --nanny --death-timeout 60 --local-directory /scratch --nthreads 2 --no-dashboard --lifetime 13560s --lifetime-stagger 600s --interface lo
