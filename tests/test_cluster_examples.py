"""The files for clusters: they parse, name what exists, and start what they say."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from typer.main import get_command

from cart_pkpd import __version__, cli
from cart_pkpd._executor.cores import SHARE

HERE = Path(__file__).parents[1] / "examples" / "cluster"


def options_of(command: str) -> set[str]:
    found = get_command(cli.app).commands[command]  # type: ignore[attr-defined]
    return {flag for parameter in found.params for flag in parameter.opts}


def commands_in(text: str) -> list[list[str]]:
    """Return every cart-pkpd command line of a text, as words."""
    lines = re.findall(r"cart-pkpd run [^\n`]+", text)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.parametrize("name", ["slurm.sh", "kubernetes.yaml"])
def test_commands_use_options_that_exist(name: str) -> None:
    found = commands_in((HERE / name).read_text(encoding="utf-8"))
    assert found
    for words in found:
        flags = {word for word in words if word.startswith("--")}
        assert flags <= options_of("run")
        assert "--scheduler" in flags


def test_the_batch_script_is_one() -> None:
    path = HERE / "slurm.sh"
    subprocess.run(["bash", "-n", path], check=True)
    text = path.read_text(encoding="utf-8")
    assert f"{SHARE}=" in text
    without = subprocess.run(["bash", path], capture_output=True, text=True, check=False)
    assert "usage: sbatch slurm.sh study.toml" in without.stderr


def test_dask_has_the_commands_and_options() -> None:
    from distributed.cli import dask_scheduler, dask_worker

    text = "\n".join(p.read_text(encoding="utf-8") for p in HERE.iterdir())
    known = {
        "scheduler": {o for p in dask_scheduler.main.params for o in (*p.opts, *p.secondary_opts)},
        "worker": {o for p in dask_worker.main.params for o in (*p.opts, *p.secondary_opts)},
    }
    for kind, line in re.findall(r"dask (scheduler|worker) ([^\n&]+)", text):
        assert {w for w in line.split() if w.startswith("--")} <= known[kind]


def test_the_kubernetes_resource() -> None:
    from distributed.cli import dask_scheduler, dask_worker

    (found,) = yaml.safe_load_all((HERE / "kubernetes.yaml").read_text(encoding="utf-8"))
    assert (found["apiVersion"], found["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    (worker,) = found["spec"]["worker"]["spec"]["containers"]
    (scheduler,) = found["spec"]["scheduler"]["spec"]["containers"]
    assert worker["image"] == scheduler["image"] == f"registry.example.org/cart-pkpd:{__version__}"
    assert worker["args"][:2] == ["dask", "worker"]
    assert worker["args"][worker["args"].index("--nthreads") + 1] == "1"
    environment = {e["name"]: e["value"] for e in worker["env"]}
    assert environment[SHARE] == worker["resources"]["limits"]["cpu"]
    for container, program in ((worker, dask_worker), (scheduler, dask_scheduler)):
        known = {o for p in program.main.params for o in (*p.opts, *p.secondary_opts)}
        assert {a for a in container["args"] if a.startswith("--")} <= known
    (port,) = found["spec"]["scheduler"]["service"]["ports"]
    assert port["port"] == scheduler["ports"][0]["containerPort"] == 8786
    assert port["targetPort"] == scheduler["ports"][0]["name"]


def test_the_image_has_what_workers_need() -> None:
    text = (HERE / "Dockerfile").read_text(encoding="utf-8")
    assert "[dask]" in text
    assert "constraints.txt" in text


@pytest.fixture
def slurm() -> ModuleType:
    pytest.importorskip("dask_jobqueue")
    spec = importlib.util.spec_from_file_location("slurm", HERE / "slurm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_job_that_slurm_gets(slurm: ModuleType) -> None:
    quiet = {"dashboard_address": None}
    with slurm.cluster(account="oncology", scheduler_options=quiet) as cluster:
        job = cluster.job_script()
        assert cluster.scheduler_address.startswith("tcp://")
    assert "#SBATCH -A oncology" in job
    assert "#SBATCH --cpus-per-task=4" in job
    assert "#SBATCH --mem=4G" in job
    assert "#SBATCH -t 08:00:00" in job
    assert f"export {SHARE}=4" in job
    (start,) = [line for line in job.splitlines() if "dask" in line and "tcp://" in line]
    words = shlex.split(start)
    assert words[words.index("--nthreads") + 1] == "1"
    assert words[words.index("--lifetime") + 1] == "7h"
