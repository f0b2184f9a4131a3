// What prepares factors of products, and adds products up, in one pass each: `held.lower`,
// `device.padded` and `device.sums` of numerics/lockstep.

struct Half {  // IEEE binary16, as its bits
    unsigned short bits;
};

// To nearest, ties to even.
__device__ __forceinline__ void store(Half* at, float x) {
    const unsigned bits = (unsigned)__float_as_int(x), sign = bits & 0x80000000u;
    const unsigned size = bits ^ sign;
    // Below 2^-14 the last bit is worth 2^-24, as in floats from 1/2 to 1; above, the last 13 of the
    // 23 bits go, and the exponent counts from 15 and not from 127.
    const float tiny = __int_as_float((int)size) + 0.5f;
    unsigned half = (size + 0xFFFu + ((size >> 13) & 1u) - (112u << 23)) >> 13;
    if (size < (113u << 23)) half = (unsigned)__float_as_int(tiny) - 0x3F000000u;
    if (size >= 0x477FF000u) half = size > 0x7F800000u ? 0x7E00u : 0x7C00u;  // from 65520 on
    at->bits = (unsigned short)(half | (sign >> 16));
}

// To 10 bits of mantissa, to nearest, ties to even.
__device__ __forceinline__ void store(float* at, float x) {
    const unsigned bits = (unsigned)__float_as_int(x);
    const unsigned kept = (bits + 0xFFFu + ((bits >> 13) & 1u)) & ~0x1FFFu;
    *at = x != x ? x : __int_as_float((int)kept);
}

// x/p rounded, for columns of numbers x that lie next to each other in a row, or by rows, where each
// of these is a column of the numbers; p is the power of two below its largest, whose bits are given,
// and scale·p is left in `undo`.
template <typename Out>
__device__ __forceinline__ void lower(
    const float* x, Out* out, const int* largest, float* undo, float scale, long long rows,
    long long columns, long long chunk, bool by_rows) {
    const long long column = (long long)blockIdx.y * blockDim.x + threadIdx.x;
    const long long part = (long long)blockIdx.x * blockDim.y + threadIdx.y, first = part * chunk;
    if (column >= columns || first >= rows) return;
    const long long last = first + chunk < rows ? first + chunk : rows;
    for (long long row = first; row < last; ++row) {
        const long long at = row * columns + column, place = by_rows ? row : column;
        const int exponent = largest[place] & 0x7F800000;
        const bool ordinary = exponent > 0 && exponent < 0x7F800000;
        const float power = ordinary ? __int_as_float(exponent) : 1.0f;
        if ((by_rows ? column : row) == 0) undo[place] = scale * power;
        store(out + at, x[at] / power);
    }
}

#define KERNEL(name, Out)                                                                        \
    extern "C" __global__ void name(                                                            \
        const float* x, Out* out, const int* largest, float* undo, float scale, long long rows, \
        long long columns, long long chunk, long long by_rows) {                                \
        lower(x, out, largest, undo, scale, rows, columns, chunk, by_rows != 0);                \
    }

KERNEL(lower_half, Half)
KERNEL(lower_tf32, float)

// total[c] += undo[c] term[c], both (rows, columns).
extern "C" __global__ void add_scaled(
    float* total, const float* term, const float* undo, long long rows, long long columns) {
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const long long row = (long long)blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= columns || row >= rows) return;
    const long long at = row * columns + column;
    total[at] = total[at] + undo[row] * term[at];
}

// Columns `place` of x, (rows, many), as rows, and bits of their largest; zeros beyond `count`.
template <typename Real>
__device__ __forceinline__ void transposed(
    const Real* x, Real* out, const long long* place, int* largest, long long rows, long long count,
    long long columns, long long chunk, long long down, long long across) {
    const long long column = (long long)blockIdx.y * blockDim.x + threadIdx.x;
    const long long part = (long long)blockIdx.x * blockDim.y + threadIdx.y, first = part * chunk;
    if (column >= columns || first >= rows) return;
    const long long last = first + chunk < rows ? first + chunk : rows;
    int most = 0;
    for (long long row = first; row < last; ++row) {
        const Real value = column < count ? x[row * down + place[column] * across] : Real(0);
        const int bits = size_bits(value);
        most = bits > most ? bits : most;
        out[column * rows + row] = value;
    }
    atomicMax(largest + column, most);
}

extern "C" __global__ void transposed_float32(
    const float* x, float* out, const long long* place, int* largest, long long rows,
    long long count, long long columns, long long chunk, long long down, long long across) {
    transposed(x, out, place, largest, rows, count, columns, chunk, down, across);
}

extern "C" __global__ void transposed_float64(
    const double* x, double* out, const long long* place, int* largest, long long rows,
    long long count, long long columns, long long chunk, long long down, long long across) {
    transposed(x, out, place, largest, rows, count, columns, chunk, down, across);
}
