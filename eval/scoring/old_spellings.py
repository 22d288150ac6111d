"""Spellings of earlier versions that files hold, and what they are called now."""

OLD_FIELDS = {"release": "hysteresis_ratio"}
