// Sums over a chunk of weights of ŵ w, ŵ², (ŵ - w)² and (ŵ + w)², columns of w `across` apart: 0 if
// there is one for all. Numbers of a column lie `down` apart.
template <typename Real>
__device__ __forceinline__ void compare(
    const Real* estimate, const Real* teacher, double* partial, long long rows, long long columns,
    long long chunk, long long estimate_down, long long estimate_across, long long teacher_down,
    long long teacher_across) {
    const long long column = (long long)blockIdx.y * blockDim.x + threadIdx.x;
    const long long part = (long long)blockIdx.x * blockDim.y + threadIdx.y, first = part * chunk;
    if (column >= columns || first >= rows) return;
    const long long last = first + chunk < rows ? first + chunk : rows;
    double overlap = 0, square = 0, difference = 0, sum = 0;
    for (long long row = first; row < last; ++row) {
        const Real x = estimate[row * estimate_down + column * estimate_across];
        const Real w = teacher[row * teacher_down + column * teacher_across];
        const double wide = x, less = x - w, more = x + w;
        overlap += wide * w;
        square += wide * wide;
        difference += less * less;
        sum += more * more;
    }
    double* const sums = partial + 4 * part * columns + column;
    sums[0] = overlap;
    sums[columns] = square;
    sums[2 * columns] = difference;
    sums[3 * columns] = sum;
}

#define KERNEL(name, Real)                                                                     \
    extern "C" __global__ void name(                                                           \
        const Real* estimate, const Real* teacher, double* partial, long long rows,            \
        long long columns, long long chunk, long long estimate_down, long long estimate_across, \
        long long teacher_down, long long teacher_across) {                                    \
        compare<Real>(                                                                         \
            estimate, teacher, partial, rows, columns, chunk, estimate_down, estimate_across,  \
            teacher_down, teacher_across);                                                     \
    }

KERNEL(compare_float32, float)
KERNEL(compare_float64, double)
