// What an iteration of message passing does with its weights: numerics/cuda/weights.py.

// Fields and means of a chunk of weights of a column, and its sums of (change)², mean² and variance.
// `given` holds onsager, damping, and precision and parameters of the prior, a row each. Numbers of
// an array lie `down` apart in a column and `across` in a row.
template <typename Real, typename Prior>
__device__ __forceinline__ void update(
    Real* means, Real* fields, const Real* gathered, const long long* place,
    const long long* source, const Real* given, double* partial, long long rows, long long columns,
    long long chunk, long long mean_down, long long mean_across, long long field_down,
    long long field_across, long long gathered_down, long long gathered_across) {
    const long long column = (long long)blockIdx.y * blockDim.x + threadIdx.x;
    const long long part = (long long)blockIdx.x * blockDim.y + threadIdx.y, first = part * chunk;
    if (column >= columns || first >= rows) return;
    const long long last = first + chunk < rows ? first + chunk : rows;
    Real* const mean_at = means + place[column] * mean_across;
    Real* const field_at = fields + place[column] * field_across;
    const Real* const from = gathered + source[column] * gathered_across;
    const Real onsager = given[column], keep = given[columns + column];
    Real own[Prior::PARAMETERS];
#pragma unroll
    for (int i = 0; i < Prior::PARAMETERS; ++i) own[i] = given[(i + 2) * columns + column];
    double changes = 0, squares = 0, variances = 0;
    for (long long row = first; row < last; ++row) {
        const Real before = mean_at[row * mean_down];
        const Real fresh = onsager * before + from[row * gathered_down];
        const Real field = (1 - keep) * fresh + keep * field_at[row * field_down];
        Real mean, variance;
        Prior::respond(field, own, mean, variance);
        mean_at[row * mean_down] = mean;
        field_at[row * field_down] = field;
        const double change = mean - before, wide = mean;
        changes += change * change;
        squares += wide * wide;
        variances += variance;
    }
    double* const sums = partial + 3 * part * columns + column;
    sums[0] = changes;
    sums[columns] = squares;
    sums[2 * columns] = variances;
}

// A kernel of `update`; `call` answers `field` with mean and variance, given `own`.
#define KERNEL(name, Real, count_of, call)                                                        \
    struct Prior {                                                                                \
        enum { PARAMETERS = count_of };                                                           \
        static __device__ __forceinline__ void respond(                                           \
            Real field, const Real* own, Real& mean, Real& variance) {                            \
            call;                                                                                 \
        }                                                                                         \
    };                                                                                            \
    extern "C" __global__ void name(                                                              \
        Real* means, Real* fields, const Real* gathered, const long long* place,                  \
        const long long* source, const Real* given, double* partial, long long rows,              \
        long long columns, long long chunk, long long mean_down, long long mean_across,           \
        long long field_down, long long field_across, long long gathered_down,                    \
        long long gathered_across) {                                                              \
        update<Real, Prior>(                                                                      \
            means, fields, gathered, place, source, given, partial, rows, columns, chunk,         \
            mean_down, mean_across, field_down, field_across, gathered_down, gathered_across);    \
    }
