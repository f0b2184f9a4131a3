"""Thresholds and finite-size scaling: statistics of measured curves, with errors over seeds.

From arrays: `level_crossing`, `curve_crossings`, `extrapolate`, `collapse`, and their companions
for computed curves without errors, `curve_level`. From the dataset of a sweep: `threshold_table`,
whose rows set theory beside simulation; `to_text`, `to_csv`, `to_records`, `to_frame` write them.
"""

from phasesweep.scaling.collapse import Collapse, collapse
from phasesweep.scaling.crossings import Estimate, curve_crossings, curve_level, level_crossing
from phasesweep.scaling.extrapolation import Extrapolation, extrapolate
from phasesweep.scaling.report import to_csv, to_frame, to_records, to_text
from phasesweep.scaling.samples import Sample, make_sample
from phasesweep.scaling.table import Row, threshold_table

__all__ = [
    "Collapse",
    "Estimate",
    "Extrapolation",
    "Row",
    "Sample",
    "collapse",
    "curve_crossings",
    "curve_level",
    "extrapolate",
    "level_crossing",
    "make_sample",
    "threshold_table",
    "to_csv",
    "to_frame",
    "to_records",
    "to_text",
]
