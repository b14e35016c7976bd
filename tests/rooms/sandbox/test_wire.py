from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType

import pytest

from tieline.sandbox.wire import decode_json, encode_json


class TestJson:
    def test_has_every_decimal_as_its_own_digits(self) -> None:
        value = {"a": [Decimal("8.80"), Decimal("1E+2")], "b": MappingProxyType({"c": Decimal(0)})}

        assert encode_json(value) == '{"a":[8.80,100],"b":{"c":0}}'
        assert decode_json(encode_json(value)) == value

    def test_leaves_text_that_looks_like_a_number_text(self) -> None:
        assert encode_json(["8.80", "ü", None, True]) == '["8.80","ü",null,true]'

    def test_refuses_what_is_not_json(self) -> None:
        with pytest.raises(TypeError, match="set is not JSON"):
            encode_json({"a": {1}})
