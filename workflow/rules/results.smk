# Threshold tables and figures, from datasets alone.


rule thresholds:
    input:
        DATA / "manifests/{sweep}/dataset.json",
    output:
        DATA / "tables/{sweep}.csv",
    log:
        DATA / "logs/{sweep}/thresholds.log",
    params:
        data=DATA,
    shell:
        "phasesweep thresholds {wildcards.sweep} --data {params.data:q} --csv {output:q}"
        " 2>&1 | tee -i {log:q}"


rule figure:
    input:
        lambda w: [
            DATA / f"manifests/{sweep}/dataset.json"
            for sweep in OUTLINE.figures[w.figure]
        ],
        lambda w: [
            path for path in [Path(f"workflow/figures/{w.figure}.py")] if path.exists()
        ],
    output:
        DATA / "figures/{figure}.pdf",
        DATA / "figures/{figure}.png",
    log:
        DATA / "logs/figures/{figure}.log",
    params:
        data=DATA,
        folder=DATA / "figures",
    shell:
        "phasesweep figure {wildcards.figure} --data {params.data:q} --output {params.folder:q}"
        " 2>&1 | tee -i {log:q}"
