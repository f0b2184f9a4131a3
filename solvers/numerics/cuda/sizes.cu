// The bits of |x| have the order of |x|, and those of what is not a number come last.
__device__ __forceinline__ int size_bits(float x) { return __float_as_int(fabs(x)); }
__device__ __forceinline__ int size_bits(double) { return 0; }
