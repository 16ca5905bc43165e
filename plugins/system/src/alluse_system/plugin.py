"""Registers the sources of process and host metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from alluse_core.markers import hookimpl
from alluse_core.providers import Context, Provider

if TYPE_CHECKING:
    from alluse_core.ports import MetricSource


@hookimpl
def alluse_metric_sources() -> Iterator[Provider[MetricSource]]:
    """Offer process and host, each in a cheap part and a dearer one."""
    yield Provider("process", _process, help="CPU, memory and its limits, threads")
    yield Provider("process_files", _process_files, help="open files, disk I/O, page faults")
    yield Provider("host", _host, help="CPU by core, memory, load, disk of the state folder")
    yield Provider("host_traffic", _host_traffic, help="disk and network traffic, swap")


def _process(context: Context) -> MetricSource:
    from alluse_system.process import ProcessSource

    return ProcessSource()


def _process_files(context: Context) -> MetricSource:
    from alluse_system.process import ProcessFilesSource

    return ProcessFilesSource()


def _host(context: Context) -> MetricSource:
    from alluse_system.host import HostSource

    return HostSource(context.state_dir)


def _host_traffic(context: Context) -> MetricSource:
    from alluse_system.host import HostTrafficSource

    return HostTrafficSource()
