// What one reading of a design does between its two products: numerics/cuda/one_pass.py.
//
// Columns lie next to each other in every array, and threads stand along them. A thread takes
// `chunk` rows of a column, whatever else is asked: its sums have one order.

// ω = undo u - margin - V g, and then g, for a block of rows; columns beyond `count` become zero.
// `given` holds margins, variances and the further parameters of the channel, a row each; `partial`
// the sums of -∂g, |∂g| and (∂g)² of every chunk; `largest` bits of the largest |g| of a column.
// `undo` and `largest` may be null.
template <typename Real, typename Channel>
__device__ __forceinline__ void respond(
    Real* product, const Real* undo, const Real* labels, Real* output, const long long* place,
    const long long* samples, const Real* given, double* partial, int* largest, long long rows,
    long long start, long long count, long long wide, long long chunk, long long label_pitch,
    long long output_pitch, long long given_pitch, long long partial_pitch) {
    const long long column = (long long)blockIdx.y * blockDim.x + threadIdx.x;
    const long long part = (long long)blockIdx.x * blockDim.y + threadIdx.y, first = part * chunk;
    if (column >= wide || first >= rows) return;
    const long long last = first + chunk < rows ? first + chunk : rows;
    if (column >= count) {
        for (long long row = first; row < last; ++row) product[row * wide + column] = 0;
        return;
    }
    const long long here = place[column], seen = samples[column] - start;
    const Real factor = undo ? undo[column] : Real(1), margin = given[column];
    Real own[Channel::PARAMETERS];
#pragma unroll
    for (int i = 0; i < Channel::PARAMETERS; ++i) own[i] = given[(i + 1) * given_pitch + column];
    double first_sum = 0, size = 0, square = 0;
    int most = 0;
    for (long long row = first; row < last; ++row) {
        Real* const u = product + row * wide + column;
        Real* const answer = output + row * output_pitch + here;
        Real g = 0;
        if (row < seen) {
            Real slope;
            const Real omega = factor * *u - margin - own[0] * *answer;
            Channel::respond(labels[row * label_pitch + here], omega, own, g, slope);
            const double wide_slope = slope;
            first_sum += wide_slope;
            size += fabs(wide_slope);
            square += wide_slope * wide_slope;
            const int bits = size_bits(g);
            most = bits > most ? bits : most;
        }
        *u = g;
        *answer = g;
    }
    double* const sums = partial + 3 * part * partial_pitch + column;
    sums[0] = first_sum;
    sums[partial_pitch] = size;
    sums[2 * partial_pitch] = square;
    if (largest) atomicMax(largest + column, most);
}

// A kernel of `respond`; `call` answers `label` and `omega` with g and slope, given `own`.
#define KERNEL(name, Real, count_of, call)                                                        \
    struct Channel {                                                                              \
        enum { PARAMETERS = count_of };                                                           \
        static __device__ __forceinline__ void respond(                                           \
            Real label, Real omega, const Real* own, Real& g, Real& slope) {                      \
            call;                                                                                 \
        }                                                                                         \
    };                                                                                            \
    extern "C" __global__ void name(                                                              \
        Real* product, const Real* undo, const Real* labels, Real* output,                        \
        const long long* place, const long long* samples, const Real* given, double* partial,     \
        int* largest, long long rows, long long start, long long count, long long wide,           \
        long long chunk, long long label_pitch, long long output_pitch, long long given_pitch,    \
        long long partial_pitch) {                                                                \
        respond<Real, Channel>(                                                                   \
            product, undo, labels, output, place, samples, given, partial, largest, rows, start,  \
            count, wide, chunk, label_pitch, output_pitch, given_pitch, partial_pitch);           \
    }
