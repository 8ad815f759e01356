"""What a labelling config asks: the Choices to learn, what it is about, and its classes."""

import pytest
from label_studio_sdk.label_interface.interface import LabelInterface

from backend.errors import UnsupportedLabelConfigError
from backend.label_schema import parse_label_config, read_choices


def config(choices='<Choice value="b"/><Choice value="a"/>', *, attributes="", about=None):
    about = about or '<Text name="content" value="$text"/>'
    return (
        f'<View><Header value="Which one?"/>{about}'
        f'<Choices name="topic" toName="content" {attributes}>{choices}</Choices></View>'
    )


def test_classes_are_in_the_labelling_configs_order():
    schema = parse_label_config(config())
    assert schema.classes == ("b", "a")
    assert (schema.control, schema.object_name, schema.data_key, schema.kind) == (
        "topic",
        "content",
        "text",
        "text",
    )


@pytest.mark.parametrize(
    ("tag", "kind"),
    [("Text", "text"), ("HyperText", "text"), ("Paragraphs", "text"), ("Image", "image")],
)
def test_what_the_choices_are_about_says_the_kind(tag, kind):
    assert parse_label_config(config(about=f'<{tag} name="content" value="$x"/>')).kind == kind


@pytest.mark.parametrize("choice", ["single", "single-radio"])
def test_single_choices_are_learnt(choice):
    assert parse_label_config(config(attributes=f'choice="{choice}"')).classes == ("b", "a")


def test_a_class_is_spelt_as_annotations_carry_it():
    aliased = config('<Choice value="Good text" alias="good"/><Choice value="bad"/>')
    assert parse_label_config(aliased).classes == ("good", "bad")


def test_a_list_field_is_read_as_a_whole():
    about = '<Image name="content" value="$pages[0]"/>'
    assert parse_label_config(config(about=about)).data_key == "pages"


@pytest.mark.parametrize("label", ["a", "b"])
def test_a_region_is_valid_in_label_studio(label):
    region = parse_label_config(config()).region(label)
    assert LabelInterface(config()).validate_prediction({"result": [region], "score": 0.5})


TWO = (
    '<View><Text name="content" value="$text"/>'
    '<Choices name="topic" toName="content"><Choice value="a"/><Choice value="b"/></Choices>'
    '<Choices name="tone" toName="content"><Choice value="c"/><Choice value="d"/></Choices></View>'
)


def test_of_several_choices_the_configuration_names_the_one_to_learn():
    assert parse_label_config(TWO, "tone").classes == ("c", "d")
    with pytest.raises(UnsupportedLabelConfigError, match=r"topic, tone.*\"control\""):
        parse_label_config(TWO)


REFUSED = {
    "no XML": ("<View>", None, "cannot be read"),
    "nothing": ("", None, "cannot be read"),
    "no Choices": ("<View><Text name='t' value='$t'/></View>", None, "add one"),
    "an unknown control": (TWO, "colour", "it has topic, tone"),
    "several choices allowed": (config(attributes='choice="multiple"'), None, 'choice="single"'),
    "one class": (config('<Choice value="a"/>'), None, "two or more"),
    "no class": (config(""), None, "two or more"),
    "a sound": (config(about='<Audio name="content" value="$a"/>'), None, "Text, HyperText"),
    "answers a region": (config(attributes='perRegion="true"'), None, "perRegion.*each region"),
    "answers an item": (config(attributes='perItem="true"'), None, "perItem.*each item"),
    "nested answers": (config(attributes='allowNested="true"'), None, "allowNested.*paths"),
    "choices of the task's": (config("", attributes='value="$options"'), None, "listed as Choice"),
    "several images": (
        config(about='<Image name="content" valueList="$pages"/>'),
        None,
        r"several items.*\$field",
    ),
    "the page behind an address": (
        config(about='<Text name="content" value="$page" valueType="url"/>'),
        None,
        r"behind an address.*\$field",
    ),
    "repeated": (
        '<View><Repeater on="$p" indexFlag="{{i}}"><Image name="p_{{i}}" value="$p[{{i}}]"/>'
        '<Choices name="c_{{i}}" toName="p_{{i}}"><Choice value="a"/><Choice value="b"/></Choices>'
        "</Repeater></View>",
        None,
        "out of the Repeater",
    ),
    "two fields": (config(about='<Text name="content" value="$a $b"/>'), None, r"\$field"),
    "about nothing": (config(about='<Text name="other" value="$a"/>'), None, "correct its toName"),
    "a fixed text": (config(about='<Text name="content" value="Hello"/>'), None, r"\$field"),
}


@pytest.mark.parametrize(("text", "control", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_learnt_is_refused_with_the_mend(text, control, told):
    with pytest.raises(UnsupportedLabelConfigError, match=told):
        parse_label_config(text, control)


def test_choices_of_an_annotation_are_kept_by_control():
    result = [
        {"type": "choices", "from_name": "topic", "value": {"choices": ["a"]}},
        {"type": "labels", "from_name": "spans", "value": {"labels": ["x"]}},
        {"type": "choices", "from_name": "tone", "value": {"choices": ["c", "d"]}},
        {"type": "choices", "from_name": "broken", "value": {}},
        {"type": "relation"},
    ]
    assert read_choices(result) == {"topic": ["a"], "tone": ["c", "d"]}
    assert read_choices([]) == {}
