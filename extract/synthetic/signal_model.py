"""A signal model of EEG with seizures: electrode potentials in microvolts; no person was recorded."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from extract.io.montage import CHANNELS
from store.schema import Event

Array = NDArray[np.float64]

SAMPLE_RATE_HZ = 256
MAINS_HZ = 60
ELECTRODES = {  # 10-20 positions seen from above, the head a unit disc, nose at (0, 1)
    **{"FP1": (-0.31, 0.95), "FP2": (0.31, 0.95)},
    **{"F7": (-0.81, 0.59), "F3": (-0.42, 0.50), "FZ": (0, 0.48), "F4": (0.42, 0.50), "F8": (0.81, 0.59)},
    **{"T7": (-1, 0), "C3": (-0.50, 0), "CZ": (0, 0), "C4": (0.50, 0), "T8": (1, 0)},
    **{
        "P7": (-0.81, -0.59),
        "P3": (-0.42, -0.50),
        "PZ": (0, -0.48),
        "P4": (0.42, -0.50),
        "P8": (0.81, -0.59),
    },
    **{"O1": (-0.31, -0.95), "O2": (0.31, -0.95)},
}
FOCI = ("T7", "T8", "F7", "F8", "C3", "C4", "P7", "P8")


@dataclass(frozen=True)
class Person:
    """What stays the same in all recordings of one simulated person."""

    focus: str
    slope: float  # of the background's amplitude spectrum
    background_uv: float
    alpha_hz: float
    alpha_uv: float
    muscle_uv: float
    mains_uv: float
    ictal_uv: float
    fast_hz: float  # the seizure's rhythm at onset
    slow_hz: float  # and towards its end


def draw_person(generator: Generator) -> Person:
    """Draw a person's focus, background and seizure type."""
    return Person(
        focus=str(generator.choice(FOCI)),
        slope=generator.uniform(0.7, 1.1),
        background_uv=generator.uniform(18, 38),
        alpha_hz=generator.uniform(8.5, 11),
        alpha_uv=generator.uniform(10, 30),
        muscle_uv=generator.uniform(10, 30),
        mains_uv=generator.uniform(0.5, 3),
        ictal_uv=generator.uniform(220, 420),
        fast_hz=generator.uniform(9, 14),
        slow_hz=generator.uniform(2, 3),
    )


def draw_seizure(duration_s: int, generator: Generator) -> Event:
    """Place one seizure in a recording, with background before and after it; times are whole centiseconds."""
    length_s = min(generator.uniform(25, 60), duration_s / 3)
    onset_s = generator.uniform(0.25, 0.55) * duration_s
    return Event(round(onset_s, 2), round(length_s, 2), "sz_foc")


def distances(electrode: str) -> Array:
    """Distances ``(E,)`` of all electrodes from one, in head radii."""
    positions = np.array(list(ELECTRODES.values()))
    far: Array = np.linalg.norm(positions - ELECTRODES[electrode], axis=1)
    return far


def bipolar(electrodes_uv: Array) -> Array:
    """Differences ``(C, N)`` in canonical channel order of electrode signals ``(E, N)``."""
    names = list(ELECTRODES)
    plus, minus = np.array([[names.index(end) for end in channel.split("-")] for channel in CHANNELS]).T
    difference_uv: Array = electrodes_uv[plus] - electrodes_uv[minus]
    return difference_uv


def noise(gain: Callable[[Array], Array], count: int, samples: int, generator: Generator) -> Array:
    """Gaussian noise ``(count, samples)`` of unit variance with amplitude spectrum ``gain(frequency_hz)``."""
    frequency_hz: Array = np.arange(samples // 2 + 1, dtype=np.float64) * (SAMPLE_RATE_HZ / samples)
    spectrum = np.fft.rfft(generator.standard_normal((count, samples))) * gain(frequency_hz)
    signal: Array = np.fft.irfft(spectrum, samples)
    signal /= signal.std(axis=1, keepdims=True)
    return signal


def band(low_hz: float, high_hz: float) -> Callable[[Array], Array]:
    """Gain of a band with soft edges, for `noise`."""
    return lambda f: np.exp(-(((f - (low_hz + high_hz) / 2) / ((high_hz - low_hz) / 2)) ** 4))


def bursts(per_minute: float, lengths_s: tuple[float, float], samples: int, generator: Generator) -> Array:
    """Envelope ``(samples,)`` of bursts at random times: humps of height 0.5 to 1, zero elsewhere."""
    envelope = np.zeros(samples)
    for _ in range(generator.poisson(per_minute * samples / SAMPLE_RATE_HZ / 60)):
        hump = np.hanning(round(generator.uniform(*lengths_s) * SAMPLE_RATE_HZ))
        start = generator.integers(samples)
        part = envelope[start : start + len(hump)]
        np.maximum(part, (generator.uniform(0.5, 1) * hump)[: len(part)], out=part)
    return envelope


def smooth_step(x: Array) -> Array:
    """Rise from 0 at ``x <= 0`` to 1 at ``x >= 1``."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def background(person: Person, samples: int, generator: Generator) -> Array:
    """Ongoing activity ``(E, samples)`` in uV: 1/f noise that neighbours share."""
    between = np.array([distances(name) for name in ELECTRODES])
    mixing = np.exp(-((between / 0.45) ** 2))
    mixing /= np.linalg.norm(mixing, axis=1, keepdims=True)

    def gain(f: Array) -> Array:
        return np.where(f < 0.3, 0, np.maximum(f, 0.7) ** -person.slope)

    return person.background_uv * mixing @ noise(gain, len(ELECTRODES), samples, generator)


def alpha(person: Person, samples: int, generator: Generator) -> Array:
    """Posterior rhythm ``(E, samples)`` in uV that waxes and wanes."""
    rhythm = noise(band(person.alpha_hz - 0.8, person.alpha_hz + 0.8), 2, samples, generator)
    waxing = smooth_step(0.5 + 0.5 * noise(band(-0.1, 0.1), 1, samples, generator))
    maps = np.exp(-((np.array([distances("O1"), distances("O2")]) / 0.6) ** 2))
    return person.alpha_uv * maps.T @ (rhythm * waxing)


def artefacts(person: Person, samples: int, generator: Generator) -> Array:
    """What is not brain ``(E, samples)`` in uV: blinks, muscle at the sides, loose electrodes, mains."""
    x, y = np.array(list(ELECTRODES.values())).T
    blinks = np.exp(-(0.95 - y) / 0.25)[:, None] * bursts(8, (0.25, 0.5), samples, generator)
    tension = np.array([bursts(2, (1, 6), samples, generator) for _ in range(2)])
    sides = np.stack([np.clip(-x, 0, 1), np.clip(x, 0, 1)], axis=1) ** 2
    muscle = (sides @ tension) * noise(band(20, 110), len(x), samples, generator)
    loose = np.zeros((len(x), samples))
    loose[generator.integers(len(x))] = bursts(1, (0.5, 4), samples, generator)
    drift = noise(band(0, 2), 1, samples, generator)
    time_s = np.arange(samples) / SAMPLE_RATE_HZ
    mains = np.sin(2 * np.pi * (MAINS_HZ * time_s + generator.uniform(0, 0.3, (len(x), 1))))
    mains *= generator.uniform(0, 1, (len(x), 1))
    blink_uv = generator.uniform(80, 160)
    body_uv: Array = blink_uv * blinks + person.muscle_uv * muscle
    return body_uv + 80 * loose * drift + person.mains_uv * mains


def waveform(phase: Array, sharpness: Array) -> Array:
    """Periodic wave of height about 1: a sine at sharpness 0, spike and slow wave at 1."""
    spike_wave = 1.8 * np.exp(6 * (np.cos(phase) - 1)) - 0.3 - 0.7 * np.cos(phase - 0.6)
    wave: Array = (1 - sharpness) * np.sin(phase) + sharpness * spike_wave
    return wave


def interictal(person: Person, samples: int, generator: Generator) -> Array:
    """Short rhythmic trains ``(E, samples)`` in uV at three random places: like a seizure, but none."""
    signal: Array = np.zeros((len(ELECTRODES), samples))
    time_s = np.arange(samples) / SAMPLE_RATE_HZ
    for place in generator.choice(list(ELECTRODES), 3, replace=False):
        far = distances(place)[:, None]
        rate_hz = generator.uniform(2.5, 8)
        wander = 0.7 * noise(band(-0.5, 0.5), 1, samples, generator)[0]
        sharpness, height = generator.uniform(0, 0.8), bursts(1, (1.5, 7), samples, generator)
        during = height > 0  # the wave costs most of a recording's time
        phase = 2 * np.pi * rate_hz * (time_s[during] - 0.02 * far) + wander[during]
        train = waveform(phase, np.array(sharpness)) * height[during]
        signal[:, during] += 0.25 * person.ictal_uv * np.exp(-((far / 0.6) ** 2)) * train
    return signal


def seizure(person: Person, event: Event, samples: int, generator: Generator) -> Array:
    """Ictal activity ``(E, samples)`` in uV; zero outside the event.

    It begins fast and low at the focus, reaches the others the later the farther they are, slows down,
    sharpens and grows, and ends everywhere at once.
    """
    time_s = np.arange(samples) / SAMPLE_RATE_HZ
    elapsed = (time_s - event.onset_s) / event.duration_s
    far = distances(person.focus)[:, None]
    slowing = np.exp(-generator.uniform(2.5, 4) * np.clip(elapsed, 0, 1))
    rate_hz = person.slow_hz + (person.fast_hz - person.slow_hz) * slowing
    rate_hz *= 1 + 0.08 * noise(band(-0.4, 0.4), 1, samples, generator)[0]
    cycles = np.cumsum(rate_hz) / SAMPLE_RATE_HZ
    ending = np.clip((event.onset_s + event.duration_s - time_s) / 0.3, 0, 1) * (elapsed >= 0)
    during = ending > 0
    elapsed, rate_hz = elapsed[during], rate_hz[during]
    lag_s = 0.05 * far * generator.uniform(0.5, 1.5, far.shape)
    phase = 2 * np.pi * (cycles[during] - rate_hz * lag_s)
    reached = generator.uniform(0.15, 0.28) * far * generator.uniform(0.8, 1.2, far.shape)
    spread = smooth_step((elapsed - reached) / 0.15)
    grown = 0.2 + 0.8 * smooth_step(elapsed / generator.uniform(0.5, 0.8))
    wobble = 1 + 0.2 * noise(band(-0.5, 0.5), len(far), samples, generator)[:, during]
    map_uv = person.ictal_uv * np.exp(-far / 1.8) * generator.uniform(0.6, 1.2, far.shape)
    height_uv = generator.uniform(0.8, 1.2) * map_uv * spread * grown * wobble
    signal_uv: Array = np.zeros((len(far), samples))
    signal_uv[:, during] = waveform(phase, smooth_step(1.5 * elapsed)) * height_uv * ending[during]
    return signal_uv


def simulate(person: Person, event: Event | None, samples: int, generator: Generator) -> Array:
    """Electrode potentials ``(E, samples)`` in uV of one recording, with one seizure or none."""
    ongoing, rhythm = background(person, samples, generator), alpha(person, samples, generator)
    other = artefacts(person, samples, generator) + interictal(person, samples, generator)
    if event is None:
        return ongoing + rhythm + other
    time_s = np.arange(samples) / SAMPLE_RATE_HZ
    after_s = time_s - event.onset_s - event.duration_s
    exhausted = np.where(after_s < 0, 0, np.exp(-np.maximum(after_s, 0) / generator.uniform(15, 40)))
    slow = noise(band(0.5, 2.5), len(ELECTRODES), samples, generator)
    during = (time_s >= event.onset_s) & (after_s < 0)
    ongoing *= 1 - 0.6 * exhausted
    rhythm *= (1 - exhausted) * np.where(during, 0.3, 1)
    delta = generator.uniform(0.4, 1) * person.background_uv * exhausted * slow
    tense = 0.3 * person.muscle_uv * during * noise(band(20, 110), len(ELECTRODES), samples, generator)
    tense *= smooth_step((time_s - event.onset_s) / event.duration_s)
    return ongoing + rhythm + other + delta + tense + seizure(person, event, samples, generator)
