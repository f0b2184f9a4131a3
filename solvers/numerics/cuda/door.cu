// g and -∂g of one label of a door: `denoise` of solvers/numerics/channels/door, whose symbols these
// are, with all that `laws.py` gives it.

// `_defect`: 1 - x M(x) for x >= 0.
template <typename Real> __device__ Real defect(Real x, Real mills) {
    if (!(x > 12)) return 1 - x * mills;
    Real tail = x;
    for (int level = 9; level > 1; --level) tail = x + level / tail;
    return mills / tail;
}

// `_dependence`, by the Gauss-Legendre rule with 20 nodes on [0, 1].
template <typename Real> __device__ Real dependence(Real k, Real x, Real ratio) {
    const double nodes[20] = {
        0.003435700407452502, 0.018014036361043095, 0.04388278587433703, 0.08044151408889061,
        0.1268340467699246, 0.1819731596367425, 0.24456649902458644, 0.3131469556422902,
        0.38610707442917747, 0.46173673943325133, 0.5382632605667487, 0.6138929255708225,
        0.6868530443577098, 0.7554335009754136, 0.8180268403632576, 0.8731659532300754,
        0.9195584859111094, 0.956117214125663, 0.981985963638957, 0.9965642995925474};
    const double weights[20] = {
        0.008807003569575447, 0.020300714900193223, 0.031336024167054395, 0.04163837078835236,
        0.05096505990862035, 0.0590972659807593, 0.06584431922458844, 0.0710480546591912,
        0.07458649323630212, 0.07637669356536314, 0.07637669356536314, 0.07458649323630212,
        0.0710480546591912, 0.06584431922458844, 0.0590972659807593, 0.05096505990862035,
        0.04163837078835236, 0.031336024167054395, 0.020300714900193223, 0.008807003569575447};
    const Real size = fabs(x);
    if (size > Real(8.5)) return 0;
    Real high = k > size ? k : size;
    high = high > 0 ? high : Real(1);
    const Real end = at_most(k < size ? k : size, Real(9));
    const Real square = (end / high) * (end / high), half = Real(-0.5) * end * end;
    Real total = 0 * end;
#pragma unroll
    for (int i = 0; i < 20; ++i) {
        const Real place = Real(nodes[i] * nodes[i]);
        total = total + Real(weights[i]) * exp(place * half) / (1 + place * square);
    }
    total = total * (end / (high * root_two_pi<Real>()));
    const Real other = mills(size);
    Real value;
    if (size <= k) {
        const Real rest = exp(Real(-0.5) * size * size) * other / root_two_pi<Real>();
        value = total - ratio * (Real(0.5) - rest);
    } else {
        const Real exponent = at_most((k - size) * (k + size), Real(0));
        value = exp(Real(0.5) * exponent) * (Real(0.5) * other - total);
    }
    return x < 0 ? -value : value;
}

// `_thin`: ∫_{-a}^a φ(b + x) dx/φ(b), and -∂² of its logarithm in b.
template <typename Real> __device__ Real thin_mass(Real a, Real b, Real& curve) {
    const Real step = a * b, square = a * a;
    Real term[9] = {Real(1), step};
#pragma unroll
    for (int n = 1; n < 8; ++n) term[n + 1] = step * term[n] - n * square * term[n - 1];
    Real value = 1, first = 0, second = 0;
    double factorial = 1;
#pragma unroll
    for (int n = 2; n < 9; n += 2) {
        factorial *= n * (n + 1);
        const Real share = Real(1 / factorial);
        value = value + share * term[n];
        first = first + share * n * a * term[n - 1];
        second = second + share * (n * (n - 1)) * square * term[n - 2];
    }
    curve = 1 - second / value + (first / value) * (first / value);
    return 2 * a * value;
}

template <typename Real>
__device__ void door_channel(
    Real label, Real omega, Real variance, Real kappa, Real noise, Real& g, Real& curvature) {
    // `laws_at`.
    const Real largest = largest_argument<Real>(), total = variance + noise, root = sqrt(total);
    const Real spread = sqrt(variance), shift = sqrt(noise), blur = shift / spread;
    const bool sharp = noise == 0;
    Real a = kappa / root, s = 0, e = 0;
    const Real b = fabs(omega) / root, distance = fabs(omega);
    if (!sharp) {
        a = noise > 0 ? at_least(a, Real(1e-30)) : a;
        s = at_most(a * (spread / at_least(shift, spread / largest)), largest);
        e = at_most(b * blur, largest);
    }
    const Real k = distance > 0 ? (kappa - distance) / root : a;

    // `laws`.
    const bool inside = k >= 0;
    const Real size = fabs(k), far = a + b, side = inside ? Real(1) : Real(-1);
    const TwoSigns<Real> sides = sharp ? without_noise(a * b) : two_signs(s, e, a * b);
    const Real plus = sides.tail, r = sides.ratio;
    const Real first = mills(size), second = mills(far);
    const Real gauss = exp(Real(-0.5) * k * k - Real(0.91893853320467267));
    Real scaled = plus * (first + side * r * second), joint = 0;
    if (!sharp) {
        joint = dependence(size, s + e, first);
        joint = joint + side * exp(-2 * a * b) * dependence(far, s - e, second);
        scaled = scaled + joint;
    }
    Real probable = 1 - gauss * scaled, curve = 0;
    const bool thin = a * at_least(b, Real(1)) < Real(0.1) && (sharp || s - e > 9);
    if (thin) {
        const Real mass = thin_mass(a, b, curve);
        if (inside) {
            probable = mass * exp(Real(-0.5) * b * b) / root_two_pi<Real>();
        } else {
            scaled = mass * exp(Real(0.5) * a * a - a * b);
            probable = 1 - gauss * scaled;
        }
    }

    const Real slope = plus * sides.difference, delta = 2 * blur * sides.hazard * plus;
    const bool improbable = label * side > 0;
    Real size_of_g, bend;
    if (improbable) {
        const Real over = 1 / (scaled > 0 ? scaled : Real(1)), share = plus * over;
        bend = defect(size, first) + r * r * defect(far, second);
        bend = share * share * (bend - r * (2 + side * (size * second + far * first)));
        bend = bend - over * (side * delta + share * (size + side * r * far) * joint);
        if (thin && !inside) bend = curve;
        size_of_g = side * slope / (scaled > 0 ? scaled : Real(1)) / root;
    } else {
        const Real rest = 1 / (probable > 0 ? probable : Real(1));
        Real change = k + r * far;
        if (sides.difference < Real(0.5)) change = 2 * a - sides.difference * far;
        change = plus * change + delta;
        bend = gauss * (rest * (rest * gauss * (slope * slope) + side * change));
        size_of_g = side * -gauss * slope / (probable > 0 ? probable : Real(1)) / root;
    }
    g = omega < 0 ? -size_of_g : size_of_g;
    curvature = cut_curvature(bend, total);
}
