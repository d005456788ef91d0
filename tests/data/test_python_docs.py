"""The prose of the standard library: real text, the same on every reading, nothing installed by pip."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from smallm.data.python_docs import module_files, module_name, module_prose, module_texts

MODULE = '''\
#!/usr/bin/env python
# Copyright 2001 by nobody, a line that
# belongs to a comment of two lines of prose, as licences do.
"""What the module is for."""

X = """
# not a comment because it stands
# inside a string of several lines, however much it looks like one
"""

class Fox(Animal):
    """A quick animal."""

    # ----------------------------
    # The tail is measured in centimetres, since that is what
    # the vets of this country write down.
    # ----------------------------
    tail = "# no"  # one line only

    def run(self, *, speed=1):
        r"""Run away.

            indented

        Done.
        """
        # if x == [1, 2, 3] and y[0] == {4: 5}:
        #     z = x[1] + y[2] * (w - 3); q(z)
        try:
            def inner(): "Deep."
        except OSError:
            pass

async def later(): """Wait."""
def silent(): pass
'''


def test_prose_is_docstrings_under_signatures_and_comments_in_source_order(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(MODULE)
    assert module_prose(tmp_path / "m.py", "m") == textwrap.dedent(
        """\
        m

        What the module is for.

        Copyright 2001 by nobody, a line that
        belongs to a comment of two lines of prose, as licences do.

        class Fox(Animal)

        A quick animal.

        The tail is measured in centimetres, since that is what
        the vets of this country write down.

        run(self, *, speed=1)

        Run away.

            indented

        Done.

        inner()

        Deep.

        later()

        Wait.
        """
    )


@pytest.mark.parametrize("source", ["x = 1\n", "def f(:\n", "\0", "# -*- coding: nonsense -*-\n"])
def test_a_module_without_prose_or_in_another_python_gives_nothing(tmp_path: Path, source: str) -> None:
    (tmp_path / "m.py").write_text(source)
    assert module_prose(tmp_path / "m.py", "m") == ""


def test_tests_and_installed_packages_are_left_out(tmp_path: Path) -> None:
    for name in ["a.py", "p/__init__.py", "test/t.py", "p/tests/t.py", "site-packages/x.py", "idlelib/i.py"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('"""Doc."""\n')
    assert [f.name for f in module_files(tmp_path)] == ["a.py", "p/__init__.py"]
    assert list(module_texts(tmp_path)) == ["a\n\nDoc.\n", "p\n\nDoc.\n"]
    assert module_name("p/__init__.py") == "p"


@pytest.mark.slow
def test_this_machines_library_gives_over_a_megabyte_of_distinct_modules() -> None:
    texts = list(module_texts())
    assert len(texts) > 200
    assert sum(map(len, texts)) > 1_000_000
    names = [t.split("\n", 1)[0] for t in texts]
    assert len(set(names)) == len(names)
    assert any(t.startswith("heapq\n\nHeap queue algorithm") for t in texts)
    assert not any("site-packages" in f.name or "/test/" in f.name for f in module_files())
