"""What the lint looks for: one rule per id, with its severity and the usual remedy."""

from __future__ import annotations

from dataclasses import dataclass

SEVERITIES = ("error", "warning", "info")  # gravest first


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One kind of finding. An error fails, or computes something wrong; a warning costs accuracy or speed."""

    id: str
    severity: str
    title: str
    remedy: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing found; `op` is its index in the graph, None where the whole file is meant."""

    id: str
    op: int | None
    evidence: str


_CALIBRATE = "calibrate with images on which the layer fires, or prune the layer"
_PLAIN = "run it with --kernels builtin, or without the delegate"
RULES = {
    rule.id: rule
    for rule in (
        Rule(id="Q101", severity="error", title="requantization multiplier that XNNPACK refuses",
             remedy=f"{_CALIBRATE}; until then {_PLAIN}"),
        Rule(id="Q102", severity="error", title="scale or zero point that XNNPACK cannot represent",
             remedy=f"quantize again: {_CALIBRATE}"),
        Rule(id="Q103", severity="error", title="addition whose scales abort the interpreter",
             remedy=f"quantize again: {_CALIBRATE}"),
        Rule(id="Q104", severity="error", title="softmax output that is not quantized as 1/256 from 0",
             remedy="set scale 1/256 and zero point -128 (int8), 0 (uint8)"),
        Rule(id="Q105", severity="error", title="bias scale is not input scale x weight scale",
             remedy="quantize the bias again in those units"),
        Rule(id="Q106", severity="warning", title="weight scale is zero or subnormal",
             remedy="prune the channel: its weights are all 0"),
        Rule(id="Q107", severity="error", title="XNNPACK refuses the file",
             remedy=_PLAIN),
        Rule(id="F901", severity="error", title="LiteRT does not run the file",
             remedy="export it again with a present converter; TensorFlow Lite Micro may run it: effnet-lab footprint"),
        Rule(id="F902", severity="error", title="the interpreter dies on the file",
             remedy="do not run it with LiteRT; TensorFlow Lite Micro may run it: effnet-lab footprint"),
        Rule(id="X201", severity="warning", title="layer falls off the XNNPACK delegate",
             remedy="quantize it so that the delegate takes it, or measure what it costs: effnet-lab bench"),
        Rule(id="X202", severity="info", title="small op runs on the plain kernels, not on XNNPACK",
             remedy="none needed: it is a small share of the work"),
        Rule(id="D301", severity="warning", title="dead output: its range is all but zero",
             remedy=_CALIBRATE),
        Rule(id="D302", severity="error", title="output is constant",
             remedy="quantize again: the output's range, bias and activation leave one code"),
        Rule(id="D303", severity="info", title="channels are constant whatever the image",
             remedy="prune them: they cost time and memory for nothing"),
        Rule(id="D304", severity="warning", title="activation leaves most codes unused",
             remedy="quantize again with the range of the activation"),
        Rule(id="B401", severity="error", title="bias overflows int32",
             remedy="enlarge the channel's weight scale, or fold the channel into the next bias"),
        Rule(id="B402", severity="warning", title="accumulator can overflow int32",
             remedy="enlarge the weight scale, or split the layer"),
        Rule(id="W501", severity="warning", title="depthwise weights quantized per tensor",
             remedy="quantize weights per channel"),
        Rule(id="W502", severity="info", title="per-tensor weights whose channels differ in range",
             remedy="quantize weights per channel, or equalise the channels"),
        Rule(id="R601", severity="info", title="residual inputs of unlike scale",
             remedy="equalise the two branches; see the layer's verdict"),
        Rule(id="E701", severity="warning", title="op falls off Ethos-U",
             remedy="int8 activations and weights, strides up to 3, a batch of 1"),
        Rule(id="E702", severity="info", title="nothing runs on Ethos-U",
             remedy="export with --format int8 for that target"),
        Rule(id="M801", severity="warning", title="file says nothing about its preprocessing",
             remedy="find it with effnet-lab audit-preprocess, and export with metadata"),
        Rule(id="M802", severity="error", title="labels and outputs differ in number",
             remedy="give the labels the network was trained with"),
        Rule(id="M803", severity="warning", title="stated preprocessing does not fit the input's range",
             remedy="test it with effnet-lab audit-preprocess"),
        Rule(id="M804", severity="warning", title="stated scheme is not what the types say",
             remedy="export again; do not edit files by hand"),
        Rule(id="M805", severity="error", title="stated image size is not the input's",
             remedy="export again with the network's own size"),
        Rule(id="M806", severity="warning", title="input scale that no usual preprocessing explains",
             remedy="calibrate with images preprocessed as for inference"),
    )
}  # fmt: skip
