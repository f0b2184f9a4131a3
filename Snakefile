# Snakemake sees sweeps; it never sees points. Every rule calls the command line.
from pathlib import Path

from snakemake.utils import min_version, validate

from phasesweep.errors import UserError
from phasesweep.outline import outline
from phasesweep.paths import cache_identity, keep_identity

min_version("9.0")


# A configuration given with --configfile stands alone; Snakemake would merge it into this one.
if "sweeps" not in config:

    configfile: "config/config.yaml"


validate(config, "workflow/schemas/config.schema.yaml")

DATA = Path(os.environ.get("PHASESWEEP_DATA") or config["data"])
try:
    OUTLINE = outline(config)
except UserError as error:
    raise WorkflowError(str(error))


# With another cache (the old one was removed, or lost points) every job looks for its points again.
CACHE = cache_identity(DATA)


onstart:
    keep_identity(DATA, CACHE)


wildcard_constraints:
    sweep="[A-Za-z0-9][A-Za-z0-9_-]*",
    method="[a-z][a-z0-9_]*",
    figure="[A-Za-z0-9][A-Za-z0-9_-]*",


localrules:
    all,


include: "workflow/rules/missing.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/run.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/results.smk"


rule all:
    default_target: True
    input:
        [DATA / f"manifests/{sweep.name}/dataset.json" for sweep in OUTLINE.sweeps],
        [DATA / f"tables/{sweep.name}.csv" for sweep in OUTLINE.sweeps],
        [DATA / f"figures/{name}.pdf" for name in OUTLINE.figures],
