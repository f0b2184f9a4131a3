# The labelled view of a sweep, made again from the cache when any of its points changed.


def manifests_of(wildcards):
    """The manifests of every method and shard of a sweep."""
    sweep = OUTLINE.sweep(wildcards.sweep)
    return [
        DATA / f"manifests/{sweep.name}/run.{method}.{part + 1}-of-{parts}.json"
        for method in sweep.methods
        for parts in [sweep.shards.get(method, 1)]
        for part in range(parts)
    ]


rule dataset:
    input:
        manifests_of,
    output:
        DATA / "manifests/{sweep}/dataset.json",
    log:
        DATA / "logs/{sweep}/dataset.log",
    params:
        sweep=lambda w: OUTLINE.sweep(w.sweep).file,
        digest=lambda w: OUTLINE.sweep(w.sweep).digest,
        data=DATA,
    shell:
        "phasesweep dataset {params.sweep:q} --data {params.data:q} --manifest {output:q}"
        " 2>&1 | tee -i {log:q}"
