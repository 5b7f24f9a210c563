"""Rows that are none: headers among them, totals below them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.data.tables import codes, describe, refused

NUMBERS = "".join(f"{20 + i},{100 + 3 * i},x\n" for i in range(40))
REFUSED: dict[str, tuple[str, str]] = {
    "files put together": ("a,b\n" + "1,2\n" * 20 + "a,b\n3,4\n", "repeated_header"),
    "files with marks put together": ("a,b\n" + "1,2\n" * 20 + "\ufeffa,b\n3,4\n", "repeated_header"),
    "texts put together": ("n,s\nx,y\nz,w\nn,s\nq,r\n", "repeated_header"),
    "a second header": ("Q1,Q2,Q3\nAge?,Income?,City?\n" + NUMBERS, "two_headers"),
    "a second and third header": ("Q1,Q2,Q3\nAge?,Income?,City?\ni_1,i_2,i_3\n" + NUMBERS, "two_headers"),
    "a line of units": ("t,p,c\ns,hPa,x\n" + NUMBERS, "two_headers"),
    "a total": ("c,v\na,1\nb,2\nc,3\nTotal,6\n", "totals_row"),
    "a total in German": ("c,v\na,1,\nb,2,\nc,3,\nSumme,6,\n", "totals_row"),
    "a total without a word": ("c,v\na,1\nb,2\nc,3\n,6\n", "totals_row"),
    "two totals without a word": ("c,v,w\na,1,5\nb,2,5\nc,3,5\nd,6,15\n", "totals_row"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "code"), REFUSED.values(), ids=REFUSED)
def test_rows_that_are_none_are_refused(tmp_path: Path, content: str, code: str) -> None:
    fault = refused(tmp_path, content)
    assert fault.code == code
    assert fault.hint


def test_a_last_row_that_may_be_a_total_is_said(tmp_path: Path) -> None:
    assert "totals_row" in codes(describe(tmp_path, "c,v\na,1\nb,2\nc,3\nTotal,7\n"))


@pytest.mark.parametrize(
    "content",
    [
        "a,b\nb,1\na,2\nb,3\na,4\n",
        "total,v\nx,1\ny,2\nz,3\nx,9\n",
        "v,w,t\n1,0,a\n2,0,b\n3,0,a\n6,1,b\n",
        "n,s,t\nx,y,a\nn,w,b\nx,z,c\nn,w,d\n",
    ],
)
def test_rows_that_only_look_like_it_stay(tmp_path: Path, content: str) -> None:
    assert "totals_row" not in codes(describe(tmp_path, content))
