"""The innermost loop of fast decoding, as LLVM vectors: dot products of some weight rows with some activations.

A tile multiplies `rows` rows of a weight matrix with `cols` rows of activations and keeps all rows * cols sums in
registers. Every sum has the same eight lanes, added in the same order whatever the tile's shape: a row of a batch gives
the bits that it gives alone, and so does any number of threads. Nothing here is left to fast-math.
Weights are float32, or bfloat16 widened on the way (bits << 16): arithmetic is float32. Addresses are int64.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from smallm.model.compiled.layout import BFLOAT16, FLOAT32

primitive: Any = intrinsic  # called without the typing context that it is defined with
LANES = 8
SIZES = (4, 2)  # bytes of one weight

_I16, _I32, _I64, _F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_LANES_F32 = ir.VectorType(_F32, LANES)


def _at(builder: Any, address: Any, index: Any, size: int, kind: Any) -> Any:
    """A pointer to element `index` of the array of `kind` at an address."""
    return builder.inttoptr(builder.add(address, builder.mul(index, _I64(size))), kind.as_pointer())


def _floats(builder: Any, address: Any, index: Any) -> Any:
    """Eight float32 from `index` on."""
    return builder.load(_at(builder, address, index, 4, _LANES_F32), align=4)


def _weights(builder: Any, kind: int, address: Any, index: Any) -> Any:
    """Eight weights from `index` on, as float32."""
    if kind == FLOAT32:
        return _floats(builder, address, index)
    wide = ir.VectorType(_I32, LANES)
    halves = builder.load(_at(builder, address, index, 2, ir.VectorType(_I16, LANES)), align=2)
    return builder.bitcast(builder.shl(builder.zext(halves, wide), ir.Constant(wide, [16] * LANES)), _LANES_F32)


def _weight(builder: Any, kind: int, address: Any, index: Any) -> Any:
    """One weight, as float32."""
    if kind == FLOAT32:
        return builder.load(_at(builder, address, index, 4, _F32))
    half = builder.load(_at(builder, address, index, 2, _I16))
    return builder.bitcast(builder.shl(builder.zext(half, _I32), _I32(16)), _F32)


def _prefetch(builder: Any, pointer: Any) -> None:
    """Ask for the cache line of a weight that comes later."""
    i8 = ir.IntType(8).as_pointer()
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [i8, _I32, _I32, _I32]), "llvm.prefetch.p0"
    )
    builder.call(function, [builder.bitcast(pointer, i8), _I32(0), _I32(3), _I32(1)])


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, in one instruction where the processor has it."""
    name = "llvm.fmuladd.f32" if a.type == _F32 else f"llvm.fmuladd.v{LANES}f32"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(a.type, [a.type] * 3), name)
    return builder.call(function, [a, b, c])


def _sum_of_lanes(builder: Any, vector: Any) -> Any:
    """((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)): halves onto halves."""
    width = LANES
    while width > 1:
        width //= 2
        low, high = (
            builder.shuffle_vector(
                vector, ir.Constant(vector.type, ir.Undefined), ir.Constant(ir.VectorType(_I32, width), list(lanes))
            )
            for lanes in (range(width), range(width, 2 * width))
        )
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, _I32(0))


def _sums(builder: Any, kind: int, rows: int, cols: int, args: Any) -> list[list[Any]]:
    """Sum over k of w[r * ldw + k] * x[c * ldx + k], for r < rows and c < cols."""
    w, ldw, x, ldx, k = args
    row_at = [builder.mul(ldw, _I64(r)) for r in range(rows)]
    col_at = [builder.mul(ldx, _I64(c)) for c in range(cols)]
    sums = [[cgutils.alloca_once(builder, _LANES_F32) for _ in range(cols)] for _ in range(rows)]
    for slot in (slot for row in sums for slot in row):
        builder.store(ir.Constant(_LANES_F32, [0.0] * LANES), slot)
    whole = builder.udiv(k, _I64(LANES))
    with cgutils.for_range(builder, whole, intp=_I64) as loop:
        at = builder.mul(loop.index, _I64(LANES))
        # Three by four sums, three rows of weights and one of activations are the sixteen registers of AVX2.
        if cols == 1:  # rows are too short for the processor to foresee the next tile's: a fifth of the time
            ahead = builder.add(at, builder.mul(ldw, _I64(rows)))
            for r in row_at:
                _prefetch(builder, _at(builder, w, builder.add(r, ahead), SIZES[kind], _I16))
        ws = [_weights(builder, kind, w, builder.add(r, at)) for r in row_at]
        for c in range(cols):
            x8 = _floats(builder, x, builder.add(col_at[c], at))
            for r in range(rows):
                builder.store(_multiply_add(builder, ws[r], x8, builder.load(sums[r][c])), sums[r][c])
    done = builder.mul(whole, _I64(LANES))
    totals = [[cgutils.alloca_once(builder, _F32) for _ in range(cols)] for _ in range(rows)]
    for r in range(rows):
        for c in range(cols):
            builder.store(_sum_of_lanes(builder, builder.load(sums[r][c])), totals[r][c])
    with cgutils.for_range_slice(builder, done, k, _I64(1), _I64) as (index, _):  # where k is no multiple of eight
        xs = [_weight(builder, FLOAT32, x, builder.add(c, index)) for c in col_at]
        for r in range(rows):
            one = _weight(builder, kind, w, builder.add(row_at[r], index))
            for c in range(cols):
                builder.store(_multiply_add(builder, one, xs[c], builder.load(totals[r][c])), totals[r][c])
    return [[builder.load(total) for total in row] for row in totals]


def tile(kind: int, rows: int, cols: int) -> Any:
    """The function of one shape: y[c * ldy + r] = the sum over k of w[r * ldw + k] * x[c * ldx + k].

    w, x and y are addresses; all arguments are int64.
    """

    @primitive
    def multiply(typingctx: Any, w: Any, ldw: Any, x: Any, ldx: Any, k: Any, y: Any, ldy: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            *of, y, ldy = args
            for r, row in enumerate(_sums(builder, kind, rows, cols, of)):
                for c, total in enumerate(row):
                    target = builder.add(builder.mul(ldy, _I64(c)), _I64(r))
                    builder.store(total, _at(builder, y, target, 4, _F32))
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), codegen

    return multiply


@primitive
def dot(typingctx: Any, a: Any, b: Any, k: Any) -> Any:
    """The product of the k float32 at two addresses, in the order of the tiles."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one, other, k = args
        return _sums(builder, FLOAT32, 1, 1, (one, _I64(0), other, _I64(0), k))[0][0]

    return types.float32(types.int64, types.int64, types.int64), codegen


@primitive
def address(typingctx: Any, array: Any) -> Any:
    """Where an array's data begin, int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        held = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(held.data, _I64)

    return types.int64(array), codegen


@primitive
def float_at(typingctx: Any, address: Any, index: Any) -> Any:
    """Element `index` of the float32 array at an address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _weight(builder, FLOAT32, *args)

    return types.float32(types.int64, types.int64), codegen


@primitive
def bfloat_at(typingctx: Any, address: Any, index: Any) -> Any:
    """Element `index` of the bfloat16 array at an address, as float32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _weight(builder, BFLOAT16, *args)

    return types.float32(types.int64, types.int64), codegen


@primitive
def floor32(typingctx: Any, x: Any) -> Any:
    """The largest whole number that is not above x, as float32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_F32, [_F32]), "llvm.floor.f32")
        return builder.call(function, [args[0]])

    return types.float32(types.float32), codegen


@primitive
def power_of_two(typingctx: Any, n: Any) -> Any:
    """2^n for a whole n from -126 to 127, by the bits of float32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        exponent = builder.add(builder.fptosi(args[0], _I32), _I32(127))
        return builder.bitcast(builder.shl(exponent, _I32(23)), _F32)

    return types.float32(types.float32), codegen
