"""Files of one op with chosen scales, and what the interpreter does with them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from effnet_lab.litert import KERNELS
from effnet_lab.litert.flatbuffer import pack

DTYPES = {"int8": schema.TensorType.INT8, "int16": schema.TensorType.INT16, "int32": schema.TensorType.INT32,
          "int64": schema.TensorType.INT64, "uint8": schema.TensorType.UINT8, "float32": schema.TensorType.FLOAT32}  # fmt: skip
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
FUSED = vars(schema.ActivationFunctionType)
OPS = {  # builtin operator, its options, version
    "conv": ("CONV_2D", "Conv2DOptions", 3),
    "depthwise": ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", 3),
    "dense": ("FULLY_CONNECTED", "FullyConnectedOptions", 4),
    "add": ("ADD", "AddOptions", 2),
    "sub": ("SUB", "SubOptions", 3),
    "mul": ("MUL", "MulOptions", 2),
    "mean": ("MEAN", "ReducerOptions", 2),
    "softmax": ("SOFTMAX", "SoftmaxOptions", 2),
    "quantize": ("QUANTIZE", None, 2),
    "relu6": ("RELU6", None, 2),
}


@dataclass
class File:
    """A .tflite file in the making; every tensor is added before the op that uses it."""

    tensors: list = field(default_factory=list)
    buffers: list = field(default_factory=lambda: [schema.BufferT()])
    ops: list = field(default_factory=list)
    codes: list = field(default_factory=list)

    def tensor(self, name: str, shape: Sequence[int], dtype="int8", *, scale=None, zero=0, axis=0, data=None) -> int:
        quantization, buffer = None, 0
        if scale is not None:
            scale = np.atleast_1d(np.asarray(scale, np.float32))
            zeros = np.full(scale.size, zero, np.int64)
            quantization = schema.QuantizationParametersT(scale=scale, zeroPoint=zeros, quantizedDimension=axis)
        if data is not None:
            raw = np.ascontiguousarray(np.asarray(data, dtype)).reshape(-1).view(np.uint8)
            self.buffers.append(schema.BufferT(data=raw))
            buffer = len(self.buffers) - 1
        self.tensors.append(
            schema.TensorT(
                name=name,
                shape=np.asarray(shape, np.int32),
                type=DTYPES[dtype],
                quantization=quantization,
                buffer=buffer,
            )
        )
        return len(self.tensors) - 1

    def op(self, kind: str, inputs: Sequence[int], output: int, **options) -> None:
        code, table, version = OPS[kind]
        code = getattr(schema.BuiltinOperator, code)
        self.codes.append(schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=min(code, 127), version=version))
        self.ops.append(
            schema.OperatorT(
                opcodeIndex=len(self.codes) - 1,
                inputs=np.asarray(inputs, np.int32),
                outputs=np.asarray([output], np.int32),
                builtinOptions=getattr(schema, table + "T")(**options) if table else None,
                builtinOptionsType=getattr(schema.BuiltinOptions, table) if table else 0,
            )
        )

    def done(self, inputs: Sequence[int], output: int) -> bytes:
        graph = schema.SubGraphT(
            tensors=self.tensors,
            inputs=np.asarray(inputs, np.int32),
            outputs=np.asarray([output], np.int32),
            operators=self.ops,
            name="main",
        )
        return pack(schema.ModelT(version=3, operatorCodes=self.codes, subgraphs=[graph], buffers=self.buffers))


def layer(
    kind: str, scale_in, scale_weight, scale_out, *, rng=None, side=5, channels=(4, 6), kernel=1, stride=1, dilation=1,
    padding=SAME, fused="NONE", zero=(0, 0), bias=None, depth_multiplier=1, dtype="int8", bias_scale=None, weights="int8",
) -> bytes:  # fmt: skip
    """conv, depthwise or dense."""
    rng = rng or np.random.default_rng(0)
    into, out = channels
    if kind == "depthwise":
        out = into * depth_multiplier
    shape = {"conv": (out, kernel, kernel, into), "depthwise": (1, kernel, kernel, out), "dense": (out, into)}[kind]
    reach = (kernel - 1) * dilation + 1
    end = -(-side // stride) if padding == SAME else (side - reach) // stride + 1
    file = File()
    x = file.tensor("x", (1, into) if kind == "dense" else (1, side, side, into), dtype, scale=scale_in, zero=zero[0])
    w = file.tensor(
        "w",
        shape,
        weights,
        scale=scale_weight,
        axis=3 if kind == "depthwise" and np.size(scale_weight) > 1 else 0,
        data=rng.integers(-127, 128, shape),
    )
    product = np.float32(scale_in) * np.asarray(scale_weight, np.float32) if bias_scale is None else bias_scale
    wide = "int64" if dtype == "int16" else "int32"
    b = file.tensor("b", (out,), wide, scale=product, data=np.zeros(out) if bias is None else bias)
    y = file.tensor("y", (1, out) if kind == "dense" else (1, end, end, out), dtype, scale=scale_out, zero=zero[1])
    options = {"fusedActivationFunction": FUSED[fused]}
    if kind != "dense":
        options |= {"padding": padding, "strideH": stride, "strideW": stride}
        options |= {"dilationHFactor": dilation, "dilationWFactor": dilation}
    if kind == "depthwise":
        options["depthMultiplier"] = depth_multiplier
    file.op(kind, [x, w, b], y, **options)
    return file.done([x], y)


def binary(kind: str, first, second, out, *, zeros=(0, 0, 0), shape=(1, 8, 8, 16), fused="NONE", dtype="int8") -> bytes:
    """add, sub or mul of two computed tensors."""
    file = File()
    a, b, y = (
        file.tensor(name, shape, dtype, scale=scale, zero=zero)
        for name, scale, zero in zip("aby", (first, second, out), zeros, strict=True)
    )
    file.op(kind, [a, b], y, fusedActivationFunction=FUSED[fused])
    return file.done([a, b], y)


def mean(into, out, *, zeros=(0, 0), shape=(1, 7, 7, 64), axes=(1, 2), keep=False, dtype="int8") -> bytes:
    file = File()
    x = file.tensor("x", shape, dtype, scale=into, zero=zeros[0])
    over = file.tensor("axes", (len(axes),), "int32", data=axes)
    gone = {axis % len(shape) for axis in axes}
    left = tuple(1 if i in gone else n for i, n in enumerate(shape) if keep or i not in gone)
    y = file.tensor("y", left, dtype, scale=out, zero=zeros[1])
    file.op("mean", [x, over], y, keepDims=keep)
    return file.done([x], y)


def unary(kind: str, into, out, *, zeros=(0, 0), shape=(1, 10), dtypes=("int8", "int8"), **options) -> bytes:
    file = File()
    x = file.tensor("x", shape, dtypes[0], scale=into, zero=zeros[0])
    y = file.tensor("y", shape, dtypes[1], scale=out, zero=zeros[1])
    file.op(kind, [x], y, **options)
    return file.done([x], y)


def run(content: bytes, kernels: str, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    """Random codes through the file: what went in, and what came out."""
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=KERNELS[kernels], num_threads=1)
    interpreter.allocate_tensors()
    codes = []
    for into in interpreter.get_input_details():
        limits = np.iinfo(into["dtype"])
        codes.append(rng.integers(limits.min, limits.max + 1, into["shape"]).astype(into["dtype"]))
        interpreter.set_tensor(into["index"], codes[-1])
    interpreter.invoke()
    return codes, interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def outcomes(contents: Sequence[bytes], kernels: str) -> dict[bytes, str]:
    """What the interpreter does with each file: "delegated", "plain", "refused" or "crash".

    Some scales abort the process: each file runs in a fork of a process that has loaded the interpreter and nothing else.
    """
    asked = pickle.dumps((list(contents), kernels))
    said = subprocess.run([sys.executable, __file__], input=asked, capture_output=True, check=True).stdout
    return dict(zip(contents, said.decode().split(), strict=True))


def _outcome(content: bytes, kernels: str) -> str:
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            interpreter = Interpreter(
                model_content=content, experimental_op_resolver_type=KERNELS[kernels], num_threads=1
            )
            interpreter.allocate_tensors()
            names = [node["op_name"] for node in interpreter._get_ops_details()]
            interpreter.invoke()
            os.write(writing, b"delegated" if "DELEGATE" in names else b"plain")
        except (RuntimeError, ValueError):
            os.write(writing, b"refused")
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as end:
        said = end.read()
    os.waitpid(child, 0)
    return said or "crash"


if __name__ == "__main__":
    files, path = pickle.load(sys.stdin.buffer)
    sys.stdout.write(" ".join([_outcome(content, path) for content in files]))
