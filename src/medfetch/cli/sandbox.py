"""``medfetch sandbox``."""

from __future__ import annotations

import click

from medfetch.config import parse_size


@click.command("sandbox")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="On loopback; 0 takes a free one.")
@click.option("--max-instance-bytes", help="Make synthetic images smaller than the real ones, such as 20K.")
@click.option("--rate", help="Bytes per second and connection, such as 5M.")
@click.option("--latency", type=float, default=0.0, help="Seconds before each answer.")
def command(port: int, max_instance_bytes: str | None, rate: str | None, latency: float) -> None:
    """Run a stand-in for the archives on loopback until interrupted; prints the environment that leads to it."""
    from medfetch.sandbox import serve

    serve(
        "127.0.0.1",
        port,
        max_instance_bytes=parse_size(max_instance_bytes) if max_instance_bytes else None,
        rate=parse_size(rate) if rate else None,
        latency=latency,
    )
