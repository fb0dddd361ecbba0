"""Records in a process of its own, and says what came of it.

python -m tests._scripts.recorder_child RUN [hold]
"""

import sys
import warnings

from layerwise.errors import RecorderError
from layerwise.recorder import Recorder
from tests._support.own_process import report


def main(run: str, hold: bool = False) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            recorder = Recorder(run)
        except RecorderError as error:
            report(refused=str(error), warned=[])
            return
        for step in range(5):
            recorder.log(step=step, rate=77.0)
    report(refused=None, warned=[str(warning.message) for warning in caught])
    sys.stdout.flush()
    if hold:
        sys.stdin.read()  # until it is killed
    recorder.close()


if __name__ == "__main__":
    main(sys.argv[1], len(sys.argv) > 2)
