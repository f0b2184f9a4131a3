# What a job asks of a batch system: memory and time from the declared cost of its missing points.
# The command line is asked once, and only when jobs are submitted somewhere.
import functools
import json
import subprocess
import sys

from phasesweep.requests import Needs, memory_mib, runtime_minutes


@functools.cache
def planned_costs():
    """{(sweep, method): (declared core seconds, bytes of the largest batch)} of missing points."""
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "phasesweep.cli", "plan", "--json"),
            *("--data", str(DATA), *(sweep.file for sweep in OUTLINE.sweeps)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    if answer.returncode:
        raise WorkflowError("a sweep cannot be planned; the sentence above says why")
    return {
        (plan["sweep"], plan["method"]): (plan["core_seconds"], plan["batch_bytes"])
        for plan in json.loads(answer.stdout)
    }


def needs(wildcards):
    """What one shard of a method costs. Inside a job it was decided before."""
    if workflow.local_exec or workflow.remote_exec or not workflow.is_main_process:
        return Needs(0, 0)
    seconds, memory = planned_costs()[wildcards.sweep, wildcards.method]
    return Needs(seconds / int(wildcards.shards), memory)


def run_gpus(wildcards):
    """GPUs of a job: those the configuration offers, for methods that are written for them."""
    on_gpu = wildcards.method in OUTLINE.sweep(wildcards.sweep).on_gpu
    return config["gpus"] if on_gpu else 0


def run_cluster(wildcards):
    """The cluster file of a job."""
    return config["gpu_cluster"] if run_gpus(wildcards) else config["cluster"]


def run_memory(wildcards, threads, attempt):
    """MiB of a job."""
    return memory_mib(needs(wildcards), threads=threads, attempt=attempt)


def run_minutes(wildcards, threads, attempt):
    """Minutes of a job."""
    return runtime_minutes(
        needs(wildcards),
        threads=threads,
        attempt=attempt,
        at_most=config["longest_job"],
    )
