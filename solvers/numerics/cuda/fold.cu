// Sums of `chunk` rows after each other, in their order.
extern "C" __global__ void fold(
    const double* x, double* out, long long rows, long long columns, long long chunk) {
    const long long column = (long long)blockIdx.y * blockDim.x + threadIdx.x;
    const long long part = (long long)blockIdx.x * blockDim.y + threadIdx.y, first = part * chunk;
    if (column >= columns || first >= rows) return;
    const long long last = first + chunk < rows ? first + chunk : rows;
    double sum = 0;
    for (long long row = first; row < last; ++row) sum += x[row * columns + column];
    out[part * columns + column] = sum;
}
