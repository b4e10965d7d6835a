"""The code of the page about parts runs."""

from test_docs_engine import blocks

from cart_pkpd.models import Model


def test_the_pages_models_are_made():
    first, own = blocks("docs/parts.md")
    names = {}
    exec(first, names)
    assert list(names["model"].endpoints)[:2] == ["transgene", "il2"]
    assert set(names["model"].event_doses) == {"tocilizumab", "steroid"}
    exec(own, names)
    assert isinstance(names["model"], Model)
    assert list(names["model"].endpoints) == ["transgene", "il6", "ferritin"]
