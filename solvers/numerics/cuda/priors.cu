// Mean and variance of one weight: `denoise` of solvers/numerics/priors.

template <typename Real>
__device__ void gaussian_prior(Real precision, Real field, Real& mean, Real& variance) {
    variance = 1 / (1 + precision);
    mean = field * variance;
}

template <typename Real>
__device__ void rademacher_prior(Real precision, Real field, Real& mean, Real& variance) {
    const Real decay = exp(-2 * fabs(field)), both = 1 + decay;
    mean = tanh(field);
    variance = 4 * decay / (both * both);
}

template <typename Real>
__device__ void gauss_bernoulli_prior(
    Real precision, Real field, Real sparsity, Real& mean, Real& variance) {
    const Real centre = field / (1 + precision);
    const Real normal = Real(0.5) * (field * centre - log1p(precision)) + log(sparsity);
    const Real t = normal - log(at_least(1 - sparsity, Limits<Real>::smallest()));
    const Real decay = exp(-fabs(t)), both = 1 + decay;
    const Real nonzero = (t > 0 ? Real(1) : decay) / both;
    mean = nonzero * centre;
    variance = nonzero / (1 + precision) + decay / (both * both) * centre * centre;
}
