"""What a labelling config asks: the Choices to learn, what it is about, and its classes."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from label_studio_sdk.label_interface.interface import LabelInterface

from backend.errors import UnsupportedLabelConfigError

KIND_OF_OBJECT: dict[str, Literal["text", "image"]] = {
    "text": "text",
    "hypertext": "text",
    "paragraphs": "text",
    "image": "image",
}

# Attributes of Choices whose annotations do not say one thing about the whole task.
UNREADABLE = {
    "perRegion": "it is answered once for each region, not once for the task",
    "perItem": "it is answered once for each item, not once for the task",
    "allowNested": "its answers are paths of choices, not single choices",
}
_FIELD = re.compile(r"\$[^$\s]+")


@dataclass(frozen=True)
class LabelSchema:
    """One single-choice question about one field of a task.

    `classes` are in the labelling config's order, spelt as annotations carry them (a Choice's
    alias where it has one).
    """

    control: str
    object_name: str
    kind: Literal["text", "image"]
    data_key: str
    classes: tuple[str, ...]

    def region(self, label: str) -> dict[str, Any]:
        """The result region that stands for `label`."""
        return {
            "from_name": self.control,
            "to_name": self.object_name,
            "type": "choices",
            "value": {"choices": [label]},
        }


def parse_label_config(label_config: str, control: str | None = None) -> LabelSchema:
    """Find the Choices to learn in a labelling config.

    Raises:
        UnsupportedLabelConfigError: none fits, or several do and `control` does not name one.
    """
    try:
        interface = LabelInterface(label_config)
    except Exception as error:  # the SDK raises many kinds, lxml's among them
        raise UnsupportedLabelConfigError(
            f"The labelling config cannot be read: {error}"
        ) from error
    found = {tag.name: tag for tag in interface.controls if tag.tag.lower() == "choices"}
    if not found:
        raise UnsupportedLabelConfigError(
            "The labelling config has no Choices tag; add one, for AskNext learns single choices."
        )
    if control is None and len(found) > 1:
        raise UnsupportedLabelConfigError(
            f"The labelling config has several Choices tags ({', '.join(found)}); "
            'name the one to learn in the configuration, as in {"control": "'
            f'{next(iter(found))}"}}.'
        )
    name = control or next(iter(found))
    if name not in found:
        raise UnsupportedLabelConfigError(
            f"control: the labelling config has no Choices tag named {name!r}; "
            f"it has {', '.join(found)}."
        )
    tag = found[name]
    attributes = {key.lower(): value for key, value in (tag.attr or {}).items()}
    if attributes.get("choice", "single") not in ("single", "single-radio"):
        raise UnsupportedLabelConfigError(
            f'The Choices tag {name!r} allows several choices; set choice="single" to let AskNext '
            "learn it."
        )
    for attribute, what in UNREADABLE.items():
        if attributes.get(attribute.lower(), "false").lower() == "true":
            raise UnsupportedLabelConfigError(
                f"The Choices tag {name!r} has {attribute}: {what}. Remove the attribute, or name "
                "another Choices tag in the configuration's control."
            )
    if "{{" in name:
        raise UnsupportedLabelConfigError(
            f"The Choices tag {name!r} stands in a Repeater; AskNext learns one answer a task. "
            "Take it out of the Repeater, or name another Choices tag in the configuration's "
            "control."
        )
    if str(attributes.get("value", "")).startswith("$"):
        raise UnsupportedLabelConfigError(
            f"The Choices tag {name!r} takes its choices from each task "
            f"({attributes['value']}); AskNext needs them listed as Choice tags."
        )
    try:
        target: Any = interface.get_object((tag.to_name or [""])[0])  # type: ignore[no-untyped-call]
    except Exception as error:  # the SDK has no kind of its own for it
        raise UnsupportedLabelConfigError(
            f"The Choices tag {name!r} is about nothing that the labelling config has; correct "
            "its toName."
        ) from error
    kind = KIND_OF_OBJECT.get(target.tag.lower())
    if kind is None:
        raise UnsupportedLabelConfigError(
            f"The Choices tag {name!r} is about a {target.tag} tag; AskNext learns from Text, "
            "HyperText, Paragraphs and Image."
        )
    about = {key.lower(): value for key, value in (target.attr or {}).items()}
    if about.get("valuelist") or about.get("valuetype", "text").lower() == "url":
        raise UnsupportedLabelConfigError(
            f"The {target.tag} tag {target.name!r} shows several items or the page behind an "
            "address, which AskNext cannot read; give it one item of the task's own as "
            'value="$field".'
        )
    value = target.value or ""
    if not _FIELD.fullmatch(value):
        raise UnsupportedLabelConfigError(
            f"The {target.tag} tag {target.name!r} has no value of the form $field."
        )
    labels = tuple(
        str((tag.labels_attrs[label].attr or {}).get("alias") or label)
        if label in (tag.labels_attrs or {})
        else label
        for label in tag.labels
    )
    if len(labels) < 2:
        raise UnsupportedLabelConfigError(
            f"The Choices tag {name!r} has {len(labels)} choices; AskNext needs two or more."
        )
    return LabelSchema(name, target.name, kind, value[1:].split("[")[0], labels)


def read_choices(result: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The choices of an annotation's result, by the name of their Choices tag."""
    choices: dict[str, list[str]] = {}
    for region in result or []:
        if isinstance(region, dict) and region.get("type") == "choices":
            value = (region.get("value") or {}).get("choices")
            if isinstance(value, list):
                choices[str(region.get("from_name"))] = [str(choice) for choice in value]
    return choices
