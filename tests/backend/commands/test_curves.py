"""The curves in a terminal: what each validation set says, the test set sealed."""

import io

from rich.console import Console

from backend.commands.curves import ROUNDS_SHOWN, curves_table


def interval(value, low=None, high=None, items=20):
    return {"value": value, "low": low, "high": high, "items": items}


def record(number, **metrics):
    return {"number": number, "labelled": 25 * number, "metrics": metrics}


def printed(*records):
    console = Console(width=160, file=io.StringIO())
    console.print(curves_table({"rounds": list(records)}))
    return console.file.getvalue()


def test_each_set_has_its_own_column_and_the_test_set_stays_sealed():
    text = printed(
        record(
            1,
            validation={"interval": interval(0.7, 0.5, 0.84)},
            rolling={"interval": interval(None, items=0)},
            control={"recent": interval(0.6, 0.31, 0.83, 10)},
            test={"labelled": 7, "sealed": True},
        )
    )
    assert "0.700 (0.50 to 0.84) on 20" in text
    assert "0.600 (0.31 to 0.83) on 10" in text
    assert "sealed, 7 labelled" in text


def test_of_many_rounds_the_first_the_last_and_some_between_are_shown():
    table = curves_table({"rounds": [record(n, test={}) for n in range(1, 41)]})
    assert len(table.rows) == ROUNDS_SHOWN
    shown = [int(cell) for cell in table.columns[0].cells]
    assert (shown[0], shown[-1]) == (1, 40)
    assert shown == sorted(set(shown))


def test_before_the_first_measured_round_there_is_no_table():
    assert curves_table({"rounds": []}) is None
    assert curves_table({"rounds": [{"number": 1, "labelled": 0, "metrics": None}]}) is None
