# `snakemake -n` says how many points are missing: it asks the command line, once, in the dry run only.
import re
import subprocess
import sys

DRY_RUN = any(
    argument in ("--dry-run", "--dryrun")
    or re.fullmatch(r"-[a-zA-Z]*n[a-zA-Z]*", argument)
    for argument in sys.argv[1:]
)

if DRY_RUN and workflow.is_main_process:
    planned = subprocess.run(
        [
            *(sys.executable, "-m", "phasesweep.cli", "plan", "--data", str(DATA)),
            *(sweep.file for sweep in OUTLINE.sweeps),
        ],
        stdout=sys.stderr,
    )
    if planned.returncode:
        raise WorkflowError("a sweep cannot be planned; the sentence above says why")
