"""How far a replica is, in words that change seldom."""

from llmi_api.readiness import ReadinessReport

_KILO, _MEGA, _GIGA = 10**3, 10**6, 10**9


def describe_progress(report: ReadinessReport) -> str:
    """The phase, and the bytes where they are known: ``weights, 0.7 of 1.3 GB (50 %)``."""
    amount = describe_amount(report)
    return f"{report.phase}, {amount}" if amount else report.phase


def describe_amount(report: ReadinessReport) -> str:
    """Bytes done of all, and the percentage."""
    if report.done_bytes is None or not report.total_bytes:
        return ""
    done = min(report.done_bytes, report.total_bytes)
    percent = 100 * done // report.total_bytes
    number, unit = _scale(report.total_bytes)
    return f"{done / number:.1f} of {report.total_bytes / number:.1f} {unit} ({percent} %)"


def describe_rate(bytes_per_second: float) -> str:
    """Speed with two digits or so: ``85 MB/s``."""
    number, unit = _scale(bytes_per_second)
    value = bytes_per_second / number
    return f"{value:.1f} {unit}/s" if value < 10 and number > 1 else f"{value:.0f} {unit}/s"  # noqa: PLR2004 - digits


def describe_seconds(seconds: float) -> str:
    """A duration: ``12.3s``."""
    return f"{round(max(seconds, 0.0), 1):g}s"


def _scale(amount: float) -> tuple[int, str]:
    for number, unit in ((_GIGA, "GB"), (_MEGA, "MB"), (_KILO, "kB")):
        if amount >= number:
            return number, unit
    return 1, "B"
