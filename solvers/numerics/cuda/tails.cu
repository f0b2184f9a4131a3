// Gaussian tails, and the two signs of solvers/numerics/two_signs.py, for one element.
//
// Where a number is cut, a comparison that is false for NaN keeps NaN, as xp.minimum does.

template <typename Real> struct Limits;
template <> struct Limits<float> {
    static __device__ float largest() { return 3.4028234663852886e38f; }
    static __device__ float smallest() { return 1.1754943508222875e-38f; }
};
template <> struct Limits<double> {
    static __device__ double largest() { return 1.7976931348623157e308; }
    static __device__ double smallest() { return 2.2250738585072014e-308; }
};

template <typename Real> __device__ Real at_most(Real x, Real bound) { return x > bound ? bound : x; }
template <typename Real> __device__ Real at_least(Real x, Real bound) { return x < bound ? bound : x; }

template <typename Real> __device__ Real root_half() { return Real(0.70710678118654757); }
template <typename Real> __device__ Real root_two_pi() { return Real(2.5066282746310002); }

// Mills' ratio H(x)/φ(x), and the hazard φ(x)/H(x), whose argument is cut at 1e15.
template <typename Real> __device__ Real mills(Real x) {
    return Real(1.2533141373155001) * erfcx(x * root_half<Real>());
}
template <typename Real> __device__ Real hazard(Real x) {
    return Real(0.79788456080286541) / erfcx(at_most(x, Real(1e15)) * root_half<Real>());
}

// h(x)(h(x) - x), which is lost in rounding for large x.
template <typename Real> __device__ Real hazard_slope(Real x, Real h) {
    return x > 50 ? 1 - 1 / (x * x) : h * (h - x);
}

// `curvature` of two_signs.py.
template <typename Real> __device__ Real cut_curvature(Real numerator, Real total) {
    const Real least = Real(-0.1 * Limits<Real>::largest());
    return at_least(numerator, least * at_most(total, Real(1))) / total;
}

template <typename Real> struct TwoSigns {
    Real tail, ratio, difference, hazard;
};

template <typename Real> __device__ Real largest_argument() { return Real(1e15); }

template <typename Real> __device__ TwoSigns<Real> without_noise(Real tilt) {
    const Real u = at_least(tilt, Real(0));
    const TwoSigns<Real> found = {1, exp(-2 * u), -expm1(-2 * u), 0};
    return found;
}

template <typename Real> __device__ TwoSigns<Real> two_signs(Real s, Real e, Real tilt) {
    const Real plus = s + e, minus = s - e;
    const Real scaled = Real(0.5) * erfcx(fabs(plus) * root_half<Real>());
    const Real other = Real(0.5) * erfcx(fabs(minus) * root_half<Real>());
    const Real gauss = exp(Real(-0.5) * plus * plus);
    const Real tail = plus < 0 ? scaled : 1 - gauss * scaled;
    const Real opposite = minus < 0 ? other : 1 - exp(Real(-0.5) * minus * minus) * other;
    const Real above = at_least(plus, Real(0));
    const Real exponent = minus < 0 ? Real(-0.5) * (above * above) : -2 * tilt;
    TwoSigns<Real> found;
    found.tail = tail;
    found.ratio = exp(exponent) * opposite / tail;
    found.hazard = (plus < 0 ? Real(1) : gauss) / (root_two_pi<Real>() * tail);
    found.difference = 1 - found.ratio;
    if (minus > 9) {
        found.difference = -expm1(-2 * tilt);
    } else if (e * at_least(fabs(s), Real(1)) < Real(0.05) && fabs(s) < 30) {
        const Real s2 = s * s, e2 = e * e;
        const Real fourth = s2 * (s2 - 6) + 3, sixth = s2 * (s2 * (s2 - 15) + 45) - 15;
        const Real series = 1 + e2 / 6 * (s2 - 1 + e2 / 20 * (fourth + e2 / 42 * sixth));
        const Real step =
            2 * e * series * found.hazard * exp(at_most(tilt, Real(1)) + Real(0.5) * e2);
        found.difference = exp(-2 * tilt) * step - expm1(-2 * tilt);
    }
    return found;
}
