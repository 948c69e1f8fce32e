"""The verdict as JUnit XML, for those who collect the results of tests."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as Xml  # nosec B405  # written, never read

from effnet_lab.paths import write_atomically
from effnet_lab.regress.checked import Checked, number_line

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(checked: Checked, path: str | Path) -> Path:
    """One test case per frame; its failures name the numbers. Drift of the environment stands under ``system-out``.

    Parameters
    ----------
    checked : Checked
        What `check` found.
    path : path
        The XML file.
    """
    table = checked.table
    suite = Xml.Element("testsuite", name="effnet-lab check", tests="0", failures="0", errors="0", skipped="0")
    frames = list(dict.fromkeys(table["frame"])) or ["all numbers"]
    for name in frames:
        case = Xml.SubElement(suite, "testcase", classname="effnet-lab.check", name=name)
        rows = table[table["frame"] == name]
        if len(rows):
            text = "\n".join(number_line(row) for row in rows.to_dict("records"))
            failure = Xml.SubElement(case, "failure", message=f"{len(rows)} numbers moved", type="moved")
            failure.text = _clean("\n".join([text, *checked.causes]))
    suite.set("tests", str(len(frames)))
    suite.set("failures", str(len(frames) if len(table) else 0))
    said = [f"{checked.n_compared} numbers compared", *checked.drift, *checked.suspects]
    Xml.SubElement(suite, "system-out").text = _clean("\n".join(said))
    root = Xml.Element("testsuites")
    root.append(suite)
    write_atomically(Path(path), Xml.tostring(root, encoding="utf-8", xml_declaration=True))
    return Path(path)


def _clean(text: str) -> str:
    return _NOT_XML.sub("?", text)
