"""Write tests/golden: what every method answers at some points of its demo.

Run it (python -m tests.write_golden [SYSTEM METHOD]) when numbers change on purpose, after raising the
method's version.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from tests.demo import GOLDEN, METHODS, demo_answers, demo_points, sample

POINTS = 8
LONGEST = 200


def thin(array: np.ndarray) -> np.ndarray:
    """A flat view with at most LONGEST entries per point, evenly spread."""
    flat = array.reshape(len(array), -1)
    return flat[:, :: max(1, -(-flat.shape[1] // LONGEST))]


def golden(system: str, method: str) -> dict:
    """The content of one golden file."""
    points = demo_points(system)[method]
    answers = demo_answers(system, method)
    chosen = sample(points, POINTS)
    names = [*points.method.gives, "status"]
    return {
        "version": points.method.version,
        "keys": [points.keys[i].hex() for i in chosen],
        "points": [{n: str(v)[:60] for n, v in points.point(int(i)).items()} for i in chosen],
        "values": {
            n: [
                [None if np.isnan(v) else v for v in row]
                for row in thin(answers[n][chosen]).astype(float).tolist()
            ]
            for n in names
        },
    }


if __name__ == "__main__":
    for pair in METHODS:
        if len(sys.argv) == 1 or list(pair) == sys.argv[1:]:
            path = GOLDEN / f"{pair[0]}.{pair[1]}.json"
            path.write_text(json.dumps(golden(*pair), indent=1) + "\n")
            sys.stdout.write(f"{path}\n")
