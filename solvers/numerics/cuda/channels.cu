// g and -∂g of one label: `denoise` of solvers/numerics/channels/{linear,sign,abs,relu}.py.

template <typename Real>
__device__ void linear_channel(
    Real label, Real omega, Real variance, Real noise, Real& g, Real& curvature) {
    curvature = 1 / (variance + noise);
    g = (label - omega) * curvature;
}

template <typename Real>
__device__ void sign_channel(
    Real label, Real omega, Real variance, Real noise, Real& g, Real& curvature) {
    const Real total = variance + noise, inverse = 1 / sqrt(total);
    const Real x = -label * omega * inverse, h = hazard(x);
    g = label * h * inverse;
    curvature = hazard_slope(x, h) / total;
}

template <typename Real>
__device__ void abs_channel(
    Real label, Real omega, Real variance, Real noise, Real& g, Real& curvature) {
    const Real largest = largest_argument<Real>(), total = variance + noise;
    const Real a = label / sqrt(total), b = fabs(omega) / sqrt(total);
    TwoSigns<Real> sides;
    Real inverse = 0;
    if (noise == 0) {
        sides = without_noise(a * b);
    } else {
        const Real spread = sqrt(variance), blur = sqrt(noise);
        Real s = a * (spread / at_least(blur, spread / largest));
        s = at_most(at_least(s, -largest), largest);
        s = noise > 0 || label < 0 ? s : largest;
        inverse = blur / spread;
        sides = two_signs(s, at_most(b * inverse, largest), a * b);
    }
    const Real both = 1 + sides.ratio;
    const Real size = (a * sides.difference / both - b) / sqrt(total);
    const Real slope =
        a * (4 * sides.ratio / (both * both)) + 2 * inverse * sides.hazard / both;
    g = omega < 0 ? -size : size;
    curvature = cut_curvature(1 - a * slope, total);
}

// Hazard h(u), and log H(u) + log √(2π) + max(u, 0)²/2, from one erfcx: `_tail` of relu.
template <typename Real> __device__ Real scaled_tail(Real u, Real& logarithm) {
    const Real size = at_most(fabs(u), Real(1e15));
    const Real scaled = erfcx(size * root_half<Real>()), bell = exp(Real(-0.5) * size * size);
    const Real left = root_two_pi<Real>() * (1 - Real(0.5) * bell * scaled);
    logarithm = log(u < 0 ? left : Real(1.2533141373155001) * scaled);
    return u < 0 ? bell / left : Real(0.79788456080286541) / scaled;
}

template <typename Real>
__device__ void relu_channel(
    Real label, Real omega, Real variance, Real noise, Real& g, Real& curvature) {
    const Real total = variance + noise, some = noise > 0 ? noise : total;
    const Real a = omega / sqrt(variance), x = label / sqrt(some);
    const Real b = a * sqrt(some / total) + sqrt(variance / total) * x;
    const Real delta = (label - omega) / sqrt(total);
    Real below, above;
    const Real h = scaled_tail(a, below);
    scaled_tail(-b, above);

    const Real low = a < 0 ? a : Real(0), high = b > 0 ? b : Real(0);
    const Real squares =
        a < 0 && b > 0 ? (x - delta) * (x + delta) : (high - low) * (high + low);
    Real odds = label > 0 ? Real(1e30) : Real(-1e30);
    if (noise > 0) odds = above - below + Real(0.5) * log(noise / total) + Real(0.5) * squares;
    const Real decay = exp(-fabs(odds));
    const Real up = (odds > 0 ? Real(1) : decay) / (1 + decay);
    const Real down = (odds > 0 ? decay : Real(1)) / (1 + decay);

    const Real v = variance / total, root = sqrt(v), both = delta + root * h;
    const Real drift = h * (noise / total) * (label / sqrt(total)) / root;
    g = (up * delta - down * root * h) / sqrt(total);
    curvature = up - up * down * (both * both) + down * (v * hazard_slope(a, h) - drift);
    curvature = curvature / total;
}
