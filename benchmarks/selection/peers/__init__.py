"""The libraries, and what each of them offers under which of AskNext's names.

Each module has `CONTENDERS`: {strategy: function of (arrays, job) that gives the call to measure}.
What happens before that call (imports, copies into the library's own form, compiling) is not timed.
The modules run in the peers' own environment, where AskNext is not installed.
"""

# The first named is measured first.
PEERS: dict[str, tuple[str, ...]] = {
    "k_center": ("bmdal", "scikit-activeml", "alipy", "distil", "small-text"),
    "badge": ("scikit-activeml", "distil"),
    "facility_location": ("apricot", "submodlib"),
    "max_herding": ("scikit-activeml",),
    "typiclust": ("scikit-activeml",),
    "probcover": ("scikit-activeml",),
    "clue": ("scikit-activeml",),
    "k_means": ("scikit-learn", "small-text"),
    "dropquery": ("scikit-activeml",),
    "falcun": ("scikit-activeml",),
    "margin": ("modal", "baal", "scikit-activeml", "small-text", "alipy", "cardinal"),
    "entropy": ("modal", "baal", "scikit-activeml", "small-text", "alipy", "cardinal"),
    "least_confidence": ("modal", "baal", "scikit-activeml", "small-text", "alipy", "cardinal"),
    "bald": ("baal", "scikit-activeml", "small-text"),
}
# These cannot be told what is labelled already: AskNext is then measured without it too.
WITHOUT_LABELLED = frozenset({("facility_location", "submodlib")})

MODULES = {
    "alipy": "alipy_library",
    "apricot": "apricot_library",
    "baal": "baal_library",
    "bmdal": "bmdal",
    "cardinal": "cardinal_library",
    "distil": "distil_library",
    "modal": "modal_library",
    "scikit-activeml": "scikit_activeml",
    "scikit-learn": "scikit_learn",
    "small-text": "small_text_library",
    "submodlib": "submodlib_library",
}


def module_of(library: str) -> str:
    """The module with this library's contenders."""
    return f"{__name__}.{MODULES[library]}"
