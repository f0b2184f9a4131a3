# One job per (sweep, method, shard). Its output is the manifest; the points go to the cache.


def run_versions(wildcards):
    """What decides that a job runs again: the content of the sweep and the method's version."""
    sweep = OUTLINE.sweep(wildcards.sweep)
    return f"{sweep.digest} v{sweep.methods[wildcards.method]}"


rule run:
    output:
        DATA / "manifests/{sweep}/run.{method}.{shard}-of-{shards}.json",
    log:
        DATA / "logs/{sweep}/run.{method}.{shard}-of-{shards}.log",
    # A job has a Dask cluster of its own, which uses every core: Snakemake caps this at --cores, and
    # the profile of a cluster sets what a job asks for.
    threads: 1024
    resources:
        mem_mb=run_memory,
        runtime=run_minutes,
        gpu=run_gpus,
        # Not among params: where points are computed does not decide what is out of date.
        cluster_file=run_cluster,
    params:
        sweep=lambda w: OUTLINE.sweep(w.sweep).file,
        versions=run_versions,
        cache=CACHE,
        data=DATA,
    shell:
        "phasesweep run {params.sweep:q} --method {wildcards.method}"
        " --shard {wildcards.shard}/{wildcards.shards} --cluster {resources.cluster_file:q}"
        " --data {params.data:q} --manifest {output:q} --allow-failed --parent $PPID 2>&1 | tee -i {log:q}"
