"""What the splitter does with records that are not as they should be."""

from __future__ import annotations

import pytest

from lakehouse.errors import FileRejectedError
from lakehouse.ingest.readers import splitter
from lakehouse.ingest.readers.splitter import Dialect

D = Dialect(3)


def bad(content: bytes, dialect: Dialect = D):
    parts = splitter.split(content, dialect, at_end=True)
    return [(one.row, one.content, one.reason) for one in parts.bad], bytes(parts.clean)


@pytest.mark.parametrize(
    ("content", "spoilt", "clean"),
    [
        (b"a,b,c\nd,e\nf,g,h\n", [(1, b"d,e", "2 fields instead of 3")], b"a,b,c\nf,g,h\n"),
        (b"a,b,c,d\n", [(0, b"a,b,c,d", "4 fields instead of 3")], b""),
        (b'a,b"x,c\nd,e,f\n', [(0, b'a,b"x,c', splitter.QUOTING)], b"d,e,f\n"),
        (b'a,"b" ,c\nd,e,f\n', [(0, b'a,"b" ,c', splitter.QUOTING)], b"d,e,f\n"),
        (b'a,"b,c\nd,e,f\ng,h,i\n', [(0, b'a,"b,c', splitter.QUOTING)], b"d,e,f\ng,h,i\n"),
        (b"a,\xff,c\nd,e,f\n", [(0, b"a,\xff,c", splitter.ENCODING)], b"d,e,f\n"),
        (b"a,\xed\xa0\x80,c\n", [(0, b"a,\xed\xa0\x80,c", splitter.ENCODING)], b""),
        (b"a,b\rb,c\nd,e,f\n", [(0, b"a,b\rb,c", splitter.RETURN)], b"d,e,f\n"),
        (b"\n\r\na,b,c\n\n", [], b"a,b,c\n"),
    ],
)
def test_bad_records_are_told_apart_and_the_rest_is_read(content, spoilt, clean):
    assert bad(content) == (spoilt, clean)


def test_an_empty_line_is_a_row_of_a_table_with_one_column():
    parts = splitter.split(b"a\n\nb\n", Dialect(1), at_end=True)
    assert (parts.records, parts.bad) == (3, [])


def test_without_quoting_a_quote_is_a_character():
    parts = splitter.split(b'6" pipe|x|y\n', Dialect(3, b"|", None), at_end=True)
    assert parts.bad == []
    assert splitter.fields(bytes(parts.clean), Dialect(3, b"|", None)) == [b'6" pipe', b"x", b"y"]


def test_an_unfinished_record_waits_for_more():
    parts = splitter.split(b'a,b,c\nd,"e', D, at_end=False)
    assert (bytes(parts.clean), parts.rest) == (b"a,b,c\n", b'd,"e')


def test_a_quote_that_never_closes_costs_one_line(monkeypatch):
    monkeypatch.setattr(splitter, "MAX_RECORD", 100)
    content = b'a,"b,c\n' + b"d,e,f\n" * 50
    parts = splitter.split(content, D, at_end=False)
    assert [one.row for one in parts.bad] == [0]
    assert parts.records == 51


def test_a_line_without_end_makes_the_file_no_table(monkeypatch):
    monkeypatch.setattr(splitter, "MAX_RECORD", 50)
    monkeypatch.setattr(splitter, "MAX_LINE", 100)
    with pytest.raises(FileRejectedError, match="a line is longer"):
        splitter.split(b"x" * 200, D, at_end=False)
