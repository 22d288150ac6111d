"""Check that a store has the features that the settings ask for, if possible without loading an encoder."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from extract.encoders.protocol import EncoderSettings
from extract.encoders.registry import load_encoder
from extract.encoders.shipped import FAMILY, SHIPPED, describe_difference, read_sha256, shipped_path
from store.reader import StoreFile, open_file
from store.runtime.errors import StoreError
from store.schema import FeatureSpec, count_windows, name_code_search


def require_spec(store: Path, settings: EncoderSettings, is_encoded: bool) -> FeatureSpec | None:
    """Refuse a store of other features; give the encoder's spec if anything is encoded or nothing else can tell.

    Raises
    ------
    StoreError
        If the store holds features of another spec.
    UserError
        If there is no such encoder, or it cannot be used so.
    """
    if not is_encoded and (stored := find_readable(store)) is not None:
        difference = compare_settings(stored.spec, settings)
        if difference:
            raise _is_other(stored, difference)
        if difference is not None:
            return None
    spec = load_encoder(settings).spec
    count_windows(0, spec.window_s, spec.stride_s)
    require_same_spec(store, spec)
    return spec


def require_same_spec(store: Path, spec: FeatureSpec) -> None:
    """Refuse to add features of another spec to a store."""
    stored = find_readable(store)
    if stored is not None and (difference := describe_difference(stored.spec, spec)):
        raise _is_other(stored, difference)


def find_readable(store: Path) -> StoreFile | None:
    """The first file of a store that is not damaged; None if there is none."""
    for path in sorted(store.glob("sub-*.h5")):
        with suppress(StoreError):
            return open_file(path)
    return None


def compare_settings(stored: FeatureSpec, settings: EncoderSettings) -> str | None:
    """Say how what is stored differs from what is asked for; empty if it does not, None if only the encoder knows.

    Where the precision is chosen by the machine, any that is stored will do.
    """
    name = settings.encoder
    if name in ("random", "bandpower"):
        weights_sha256: str | None = stored.weights_sha256
    else:
        is_shipped = settings.encoder in SHIPPED
        path = shipped_path(settings.encoder, stored.weights_sha256) if is_shipped else Path(settings.encoder)
        name = FAMILY if is_shipped else path.name
        weights_sha256 = read_sha256(path)
    if weights_sha256 is None:
        return None
    is_given = settings.precision != "auto" and settings.encoder != "bandpower"
    montage = settings.input_montage
    codes = settings.features == "codes"
    asked = replace(
        stored,
        encoder=name,
        montage=montage.name,
        derivations=montage.rows,
        channels=montage.channels,
        weights_sha256=weights_sha256,
        features=settings.features,
        dims=settings.quantizers if codes and settings.quantizers else stored.dims,
        code_search=name_code_search(settings.beam) if codes and settings.beam else stored.code_search,
        stride_s=settings.stride,
        precision=settings.precision if is_given else stored.precision,
    )
    return describe_difference(stored, asked)


def _is_other(stored: StoreFile, difference: str) -> StoreError:
    return StoreError(f"{stored.path}: {difference}; use its options, or another --store")
