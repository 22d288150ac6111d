"""Settings of an extraction that its encoded recordings depend on."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from extract.encoders.protocol import EncoderSettings
from store.runtime.errors import UserError


@dataclass(frozen=True, kw_only=True)
class EncodeSettings(EncoderSettings):
    """Settings that encoded recordings depend on, and the store."""

    store: Annotated[Path, tyro.conf.arg(metavar="STORE")]
    """Folder of the store, created if needed."""
    missing: Literal["error", "zero"] = "error"
    """If a channel is missing or flat: refuse the recording, or encode zeros and mark the gap."""
    which_channels: Annotated[Literal["same", "common"], tyro.conf.arg(name="channels")] = "same"
    """With --montage as-recorded: refuse recordings whose channels differ, or use the channels they share."""
    unlabelled: bool = False
    """Accept recordings without an events file; their seconds are not scored."""

    def check_codes(self) -> None:
        """Refuse options for codes if no codes are stored.

        Raises
        ------
        UserError
            Naming the option.
        """
        for option, value in (("quantizers", self.quantizers), ("beam", self.beam)):
            if value is not None and self.features != "codes":
                raise UserError(
                    f"--{option} {value}: goes with --features codes, not with {self.features}; leave it out, or "
                    "store codes"
                )

    @property
    def only_encoder(self) -> EncoderSettings:
        """The encoder's own settings, the key under which it is loaded once."""
        return EncoderSettings(**{field.name: getattr(self, field.name) for field in fields(EncoderSettings)})
