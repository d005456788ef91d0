"""Any text, and any conversation that can be learned from, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from smallm.finetune.examples import Message

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(lambda t: bool(t.strip()))


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Any conversation that can be learned from."""
    turns = draw(st.lists(st.tuples(words, words), min_size=1, max_size=4))
    messages = [Message(role="system", content=draw(words))] if draw(st.booleans()) else []
    for asked, answered in turns:
        messages += [Message(role="user", content=asked), Message(role="assistant", content=answered)]
    return messages
