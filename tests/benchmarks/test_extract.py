"""The benchmark of extraction runs the pipeline beside the bare network, and says where the time goes."""

import re
import subprocess
import sys

from tests.conftest import REPOSITORY


def test_it_measures_the_pipeline_and_accounts_for_all_of_its_time() -> None:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "extract.py"), "--device", "cpu", "--count", "2"]
    command += ["--rounds", "1", "--skip", "eager", "compile", "OpenVINO", "onnx", "fp32", "usual", "thingsvision"]
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = dict(
        re.findall(r"^(network, as the pipeline runs it|pipeline extract-features) +([\d.]+) ", done.stdout, re.M)
    )
    assert float(rows["network, as the pipeline runs it"]) > 0
    assert float(rows["pipeline extract-features"]) > 0
    shares = [float(share) for share in re.findall(r" ([\d.-]+)%$", done.stdout, re.M)]
    assert len(shares) == 13
    assert abs(sum(shares) - 100) < 1
