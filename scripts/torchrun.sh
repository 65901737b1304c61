#!/bin/sh
# One run on machines without a scheduler: start this on each of them, with the same arguments.
#
#   HEAD=machine1 NODES=8 scripts/torchrun.sh --config … --config cluster/torchrun.yaml
#
# HEAD   machine that the others find, one of them; default: this one
# NODES  how many machines, or the fewest and the most, such as 2:8: the run goes on with those that are there, and
#        starts again from its last checkpoint when one is lost or joins; default 1
# GPUS   processes on each machine, default gpu: one a GPU

export TORCHELASTIC_SIGNALS_TO_HANDLE="${TORCHELASTIC_SIGNALS_TO_HANDLE:-SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1}"
# Or processes that are started again would find the addresses of those before them.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1

exec torchrun --nnodes "${NODES:-1}" --nproc-per-node "${GPUS:-gpu}" --max-restarts "${RESTARTS:-3}" \
  --rdzv-backend c10d --rdzv-endpoint "${HEAD:-localhost}:${PORT:-29400}" --rdzv-id "${JOB:-blockyard}" \
  --no-python sh -c 'exec blockyard fit "$@" --trainer.num_nodes "$GROUP_WORLD_SIZE" \
    --trainer.devices "$LOCAL_WORLD_SIZE" --ckpt_path last' blockyard "$@"
