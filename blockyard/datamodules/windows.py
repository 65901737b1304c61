"""Where windows of recordings lie: one every hop, the last one ending where the recording ends."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Windows:
    """Windows of recordings: whose each is, at which sample of its file it starts, and which seconds it covers."""

    owner: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    seconds: list[tuple[float, float]] = field(default_factory=list)

    def lay(self, position: int, first: int, last: int, length: int, hop: int, rate: float) -> None:
        """Add those of a recording.

        Args:
            position: Of the recording in its split.
            first: Its first sample in its file.
            last: The sample after its last.
            length: Samples of a window.
            hop: Samples from one window to the next.
            rate: Rate in Hz.
        """
        for start in window_starts(last - first, length, hop):
            self.owner.append(position)
            self.starts.append(first + start)
            self.seconds.append(((first + start) / rate, min(first + start + length, last) / rate))


def window_starts(samples: int, length: int, hop: int) -> list[int]:
    """Where windows of a recording start: every ``hop`` samples, the last one moved back so that it ends with it."""
    spare = samples - length
    return [0] if spare <= 0 else [*range(0, spare, hop), spare]
