#!/bin/bash
#SBATCH --job-name=grjca
#SBATCH --array=1-4
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:TERM@120

# Written by grjca slurm-script, to be submitted with sbatch. Task k does part k/4 and
# skips what is done: all of it, or some tasks (sbatch --array=3,17), may be submitted again.

: "${SLURM_ARRAY_TASK_ID:?is not set: submit this script with sbatch}"
cd -- /data/study || exit

grjca=(/opt/env/bin/python -P -m grjca)
# SLURM_JOB_ID of one of the tasks is that of the whole array.
task=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
asked='' heard='' child='' state=''
look() {
    state=$(timeout 15 squeue --noheader --format=%T --jobs="$task")
}
stop() {
    asked=1 heard=1
    look
    # scancel tells every process of the job; the warning of the time limit only this shell, and
    # the job counts as SIGNALING while that is sent.
    case "$state" in RUNNING|SIGNALING|'')
        [ -n "$child" ] && kill -TERM "$child" 2>/dev/null ;;
    esac
}
trap stop TERM

"${grjca[@]}" ablate --part "$SLURM_ARRAY_TASK_ID/4" \
    --store features --out runs &
child=$!
if [ -n "$asked" ]; then stop; fi
# A signal ends wait before the program has ended: wait again, for its own exit code.
while heard=''; wait "$child"; code=$?; [ -n "$heard" ]; do :; done

# 130: stopped with its report written; 143: stopped before it could. What was running still was
# stopped because its time is nearly up, not by scancel, and goes back into the queue. A failure
# never does.
if [ -n "$asked" ] && { [ "$code" -eq 130 ] || [ "$code" -eq 143 ]; }; then
    [ -n "$state" ] || look
    case "$state" in RUNNING|SIGNALING)
        [ "${SLURM_RESTART_COUNT:-0}" -ge 10 ] || scontrol requeue "$task" ;;
    esac
    exit "$code"
fi
exit "$code"
