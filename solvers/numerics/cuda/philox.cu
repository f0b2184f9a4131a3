// Rows of random numbers: the arithmetic of solvers/numerics/philox.py, one thread a Philox call.
//
// Every operation stands here as it stands there, in the same order and type. With products and
// sums kept apart (--fmad=false) and IEEE division and roots, both give the same bits.

enum { SIGNS, UNIFORMS, NORMALS };  // as they stand in the counter
const int LANES = 8;                // calls of a tile, which has 4 LANES columns

typedef unsigned int u32;
typedef unsigned long long u64;

struct Half {  // IEEE binary16, as its bits
    unsigned short bits;
};

template <typename Out> struct Numbers;  // the type of the arithmetic, and terms of its series
template <> struct Numbers<float> {
    typedef float Real;
    enum { ARTANH = 5, SINE = 5, COSINE = 6 };
    static __device__ float top() { return float(1 - 1.0 / (1 << 24)); }
};
template <> struct Numbers<double> {
    typedef double Real;
    enum { ARTANH = 12, SINE = 9, COSINE = 10 };
    static __device__ double top() { return 1 - 1.0 / (1LL << 53); }
};
template <> struct Numbers<Half> : Numbers<float> {};

template <int N> struct Factorial {
    static __device__ constexpr double value() { return N * Factorial<N - 1>::value(); }
};
template <> struct Factorial<0> {
    static __device__ constexpr double value() { return 1; }
};

// The terms K ... LAST of 2 artanh(s)/s, sin(x)/x and cos(x), over q^K, in the square q, by Horner's
// rule. (The last refers to itself in the branch that it does not take.)
template <typename Real, int K, int LAST> struct Series {
    static __device__ Real artanh(Real q) {
        return K == LAST ? Real(2.0 / (2 * K + 1))
                         : Series<Real, K + (K < LAST), LAST>::artanh(q) * q + Real(2.0 / (2 * K + 1));
    }
    static __device__ Real sine(Real q) {
        const Real term = Real((K % 2 ? -1 : 1) / Factorial<2 * K + 1>::value());
        return K == LAST ? term : Series<Real, K + (K < LAST), LAST>::sine(q) * q + term;
    }
    static __device__ Real cosine(Real q) {
        const Real term = Real((K % 2 ? -1 : 1) / Factorial<2 * K>::value());
        return K == LAST ? term : Series<Real, K + (K < LAST), LAST>::cosine(q) * q + term;
    }
};

__device__ __forceinline__ void philox(u32 c[4], u32 k0, u32 k1) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const u64 p0 = (u64)c[0] * 0xD2511F53u, p1 = (u64)c[2] * 0xCD9E8D57u;
        c[0] = (u32)(p1 >> 32) ^ c[1] ^ k0;
        c[2] = (u32)(p0 >> 32) ^ c[3] ^ k1;
        c[1] = (u32)p1;
        c[3] = (u32)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

// √(-2 log u), u = (word + 1/2)/2^32.
template <typename Numbers> __device__ __forceinline__ typename Numbers::Real radius(u32 word) {
    typedef typename Numbers::Real Real;
    const u32 fold = word < ~word ? word : ~word;
    const Real f = (Real((int)fold) + Real(0.5)) * Real(1.0 / 4294967296.0);
    const int exponent = (__float_as_int((float)f) - 0x3F3504F3) >> 23;  // less that of √(1/2)
    Real e = Real(exponent), t = f * Real(__int_as_float((127 - exponent) << 23)) - 1;
    if (word >= 0x80000000u) {
        const bool small = f < Real(0.29289321881345248);  // 1 - √(1/2)
        e = small ? Real(0) : Real(-1);
        t = small ? -f : 1 - 2 * f;
    }
    const Real s = t / (2 + t);
    const Real series = Series<Real, 0, Numbers::ARTANH - 1>::artanh(s * s);
    return sqrt(-2 * (e * Real(0.69314718055994531) + s * series));
}

// cos 2πu and sin 2πu, u = (word + 1/2)/2^32.
template <typename Numbers>
__device__ __forceinline__ void direction(u32 word, typename Numbers::Real& x, typename Numbers::Real& y) {
    typedef typename Numbers::Real Real;
    const u32 quarter = (word + (1u << 29)) >> 30;
    const int rest = (int)(word - (quarter << 30));
    const Real angle = (Real(rest) + Real(0.5)) * Real(1.4629180792671596e-09);  // 2π/2^32
    const Real square = angle * angle;
    const Real c = Series<Real, 0, Numbers::COSINE - 1>::cosine(square);
    const Real s = Series<Real, 0, Numbers::SINE - 1>::sine(square) * angle;
    x = quarter & 1 ? s : c;
    y = quarter & 1 ? c : s;
    x = quarter == 1 || quarter == 2 ? -x : x;
    y = quarter >= 2 ? -y : y;
}

template <typename Out, int KIND>
__device__ __forceinline__ void draw(const u32 word[4], typename Numbers<Out>::Real number[4]) {
    typedef typename Numbers<Out>::Real Real;
    if (KIND == NORMALS) {
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
            const Real size = radius<Numbers<Out> >(word[i]);
            direction<Numbers<Out> >(word[i + 1], number[i], number[i + 1]);
            number[i] = size * number[i];
            number[i + 1] = size * number[i + 1];
        }
    } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const Real u = (Real(word[i]) + Real(0.5)) * Real(1.0 / 4294967296.0);
            const Real top = Numbers<Out>::top();
            number[i] = KIND == SIGNS ? Real(1 - 2 * (int)(word[i] >> 31)) : u < top ? u : top;
        }
    }
}

__device__ __forceinline__ void store(float* at, float x) { *at = x; }
__device__ __forceinline__ void store(double* at, double x) { *at = x; }

// Round to nearest, ties to even, for |x| < 65520.
__device__ __forceinline__ void store(Half* at, float x) {
    const u32 bits = (u32)__float_as_int(x), sign = bits & 0x80000000u, size = bits ^ sign;
    // Below 2^-14 the last bit is worth 2^-24, as in floats from 1/2 to 1; above, the last 13 of the
    // 23 bits go, and the exponent counts from 15 and not from 127.
    const float tiny = __int_as_float((int)size) + 0.5f;
    const u32 rounded = (size + 0xFFFu + ((size >> 13) & 1u) - (112u << 23)) >> 13;
    const u32 half = size < (113u << 23) ? (u32)__float_as_int(tiny) - 0x3F000000u : rounded;
    at->bits = (unsigned short)(half | (sign >> 16));
}

// Rows [start, start + rows) of one distribution; `pitch` numbers lie between two rows of `out`.
template <typename Out, int KIND>
__device__ __forceinline__ void fill(
    Out* out, long long rows, long long columns, long long pitch, long long start, u32 k0, u32 k1) {
    const long long call = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const long long first = call / LANES * (4 * LANES) + call % LANES;
    if (first >= columns) return;
    const long long step = (long long)gridDim.y * blockDim.y;
    for (long long row = (long long)blockIdx.y * blockDim.y + threadIdx.y; row < rows; row += step) {
        u32 word[4] = {(u32)call, (u32)KIND, (u32)(start + row), (u32)((u64)(start + row) >> 32)};
        typename Numbers<Out>::Real number[4];
        philox(word, k0, k1);
        draw<Out, KIND>(word, number);
        Out* const at = out + row * pitch + first;
#pragma unroll
        for (int i = 0; i < 4; ++i)
            if (first + i * LANES < columns) store(at + i * LANES, number[i]);
    }
}

#define KERNEL(name, Out, KIND)                                                                  \
    extern "C" __global__ void name(Out* out, long long rows, long long columns, long long pitch, \
                                    long long start, u32 k0, u32 k1) {                           \
        fill<Out, KIND>(out, rows, columns, pitch, start, k0, k1);                               \
    }

KERNEL(signs_float16, Half, SIGNS)
KERNEL(signs_float32, float, SIGNS)
KERNEL(signs_float64, double, SIGNS)
KERNEL(uniforms_float16, Half, UNIFORMS)
KERNEL(uniforms_float32, float, UNIFORMS)
KERNEL(uniforms_float64, double, UNIFORMS)
KERNEL(normals_float16, Half, NORMALS)
KERNEL(normals_float32, float, NORMALS)
KERNEL(normals_float64, double, NORMALS)
