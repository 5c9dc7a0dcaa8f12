"""The self-test: the first thing to run on a new machine. It needs nothing but the package."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxslice.codec import linear_probe, probe, wide_probe
from jaxslice.codec.engines.interface import AUTO, NAMES, Engine, engine_named
from jaxslice.codec.engines.native import NativeEngine
from jaxslice.core.errors import UsageError
from jaxslice.core.machine import num_cores
from jaxslice.core.progress import Progress, no_progress
from jaxslice.native import library
from jaxslice.selftest import archives, goldens
from jaxslice.selftest.report import (
    FAILED,
    PASSED,
    SKIPPED,
    Check,
    CheckFailed,
    CheckSkipped,
    run_all,
)

_PACKAGES = ("jaxslice", "jax", "jaxlib", "numpy", "tensorstore", "zarr")
_PROBES = {
    "networks": probe.passes,
    "linear predictors": linear_probe.passes,
    "16-bit voxels": wide_probe.passes,
}
_DECODING = ("native", "xla")
"""Engines that decode whole archives here; the Pallas kernel is slow where it is interpreted."""


def selftest(progress: Progress | None = None) -> dict[str, Any]:
    """Finds out whether this machine codes exactly, and notices damage.

    Args:
      progress: called now and then with (part of the work, done, total).

    Returns:
      A JSON object: "passed", the versions and devices that were used, and "checks", a list of
      objects with group, name, outcome, remark and seconds.
    """
    with tempfile.TemporaryDirectory(prefix="jaxslice-selftest-") as name:
        checks = [*_probe_checks(), *_golden_checks(Path(name)), *_archive_checks(Path(name))]
        results = run_all(checks, progress or no_progress)
    outcomes = [result.outcome for result in results]
    return {
        "passed": FAILED not in outcomes,
        "counts": {outcome: outcomes.count(outcome) for outcome in (PASSED, FAILED, SKIPPED)},
        "seconds": round(sum(result.seconds for result in results), 1),
        "machine": _machine(),
        "checks": [result.to_json() for result in results],
    }


def _machine() -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        versions[package] = importlib.metadata.version(package)
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": num_cores(),
        "engine": engine_named(AUTO).name,
        "instruction_sets": [library.SET_NAMES[n] for n in library.instruction_sets()],
        "devices": [f"{device.platform}:{device.id} {device.device_kind}" for device in _devices()],
        "versions": versions,
    }


def _devices() -> list[Any]:
    import jax

    return jax.local_devices()


def available_engines() -> list[str]:
    """Names of the engines that decode whole archives here."""
    found = []
    for name in _DECODING:
        try:
            found.append(engine_named(name).name)
        except UsageError:
            continue
    return found


def _probe_checks() -> Iterator[Check]:
    """The probes of every engine on each device, and of every instruction set."""
    for number, name in enumerate(library.SET_NAMES):
        for what in _PROBES:
            run = functools.partial(_probe_set, number, what)
            yield Check("probe", f"native {name}: {what}", run)
    for name in NAMES:
        if name in (AUTO, "native"):
            continue
        engine = engine_named(name)
        for device in engine.devices():
            for what in _PROBES:
                run = functools.partial(_probe, engine, device, what)
                yield Check("probe", f"{name} {device}: {what}", run)


def _probe_set(number: int, what: str) -> str:
    if not library.instruction_sets():
        raise CheckSkipped("the native library was not built; xla runs in its place")
    if number not in library.instruction_sets():
        raise CheckSkipped("this processor or library does not have it")
    return _probe(NativeEngine(number), None, what)


def _probe(engine: Engine, device: Any, what: str) -> str:
    try:
        exact = _PROBES[what](engine, device)
    except UsageError as error:
        raise CheckSkipped(str(error)) from None
    if not exact:
        raise CheckFailed("it does not compute exactly: it must not code archives")
    return ""


def _golden_checks(folder: Path) -> Iterator[Check]:
    """Archives that earlier releases wrote decode to the voxels that they had."""
    for name, path, checksum in goldens.extract(folder / "goldens"):
        for engine in available_engines():
            run = functools.partial(archives.decodes_to, path, checksum, engine)
            yield Check("golden", f"{name} by {engine}", run)


def _archive_checks(folder: Path) -> Iterator[Check]:
    """What is compressed here comes back, from every engine, and damage is noticed."""
    engines = available_engines()
    for name in archives.VOLUMES:
        for engine in engines:
            place = folder / f"{name}-{engine}.zarr".replace(" ", "-")
            run = functools.partial(archives.round_trip, name, place, engine)
            yield Check("round trip", f"{name} by {engine}", run)
        if len(engines) > 1:
            places = [folder / f"{name}-{e}.zarr".replace(" ", "-") for e in engines]
            run = functools.partial(archives.have_the_same_bytes, places)
            yield Check("same bytes", f"{name}: {' and '.join(engines)}", run)
    whole = folder / f"{next(iter(archives.VOLUMES))}-{engines[0]}.zarr".replace(" ", "-")
    for name in archives.DAMAGE:
        run = functools.partial(archives.notices, name, whole, folder / "damaged" / name)
        yield Check("damage", name, run)
