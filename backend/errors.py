"""The errors that AskNext raises on purpose; every message tells the reader what to do next."""


class AskNextError(Exception):
    """Base of every deliberate error of AskNext."""


class ConfigurationError(AskNextError):
    """A queue configuration is wrong; `path` names the field, as in `strategy.chain[0]`."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message


class RequestError(AskNextError):
    """A request to AskNext is wrong; `field` names the part, `mend` says how to put it right."""

    def __init__(self, field: str, message: str, mend: str, status: int = 422) -> None:
        super().__init__(f"{field}: {message} {mend}")
        self.field = field
        self.message = message
        self.mend = mend
        self.status = status


class UnsupportedLabelConfigError(AskNextError):
    """The labelling config has no control that AskNext can learn, or several to choose from."""


class LabelStudioError(AskNextError):
    """Label Studio refused a request or could not be reached."""


class LabelStudioUnreachableError(LabelStudioError):
    """Label Studio did not answer in time; the same call may succeed later."""


class LabelStudioRefusedError(LabelStudioError):
    """Label Studio answered with an error status; `status` is that HTTP status."""

    def __init__(self, status: int, message: str, body: object = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class ProjectGoneError(LabelStudioRefusedError):
    """The project no longer exists in Label Studio."""


class EncoderUnavailableError(AskNextError):
    """The package that carries an encoder's weights is absent or damaged."""


class ContentError(AskNextError):
    """The content of one task cannot be read or embedded."""


class LeaseLostError(AskNextError):
    """Another worker has taken this piece of work over; nothing more may be written."""


class SchemaRevisionError(AskNextError):
    """The state database has another schema revision than this version of AskNext."""


class EngineUnavailableError(AskNextError):
    """No Redis-protocol server can be started or reached."""


class LeakError(AskNextError):
    """A task of the test set was trained on."""
