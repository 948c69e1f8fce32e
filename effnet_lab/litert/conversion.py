"""The op that moves a tensor between number types."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

_FLOAT, _INT16 = schema.TensorType.FLOAT32, schema.TensorType.INT16


def conversion(tree: schema.ModelT, types: tuple[int, int], source: int, target: int) -> schema.OperatorT:
    """A QUANTIZE op, or DEQUANTIZE where the target is float32, whose code is added to the tree.

    Parameters
    ----------
    tree : ModelT
    types : (int, int)
        Of source and target, numbers of the schema.
    source, target : int
        Indices of the tensors.

    References
    ----------
    tensorflow, lite/tools/versioning/op_version.cc: the versions.
    """
    ops = schema.BuiltinOperator
    code, version = (ops.DEQUANTIZE, 2) if types[1] == _FLOAT else (ops.QUANTIZE, 1)
    version += _INT16 in types
    tree.operatorCodes.append(schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=code, version=version))
    return schema.OperatorT(opcodeIndex=len(tree.operatorCodes) - 1, inputs=[source], outputs=[target])
