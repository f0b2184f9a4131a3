"""Generalised approximate message passing on random instances."""

from __future__ import annotations

import numpy as np

from solvers.axes import Integer, Real
from solvers.contract import Status
from solvers.numerics.lockstep import Tally, all_column_sums
from solvers.numerics.lockstep.held import Held
from solvers.systems.glm_bayes.declaration import system
from solvers.systems.glm_bayes.gamp_cost import COST
from solvers.systems.glm_bayes.instance import Instance, on_device
from solvers.systems.glm_bayes.messages import (
    Record,
    compare,
    measure,
    squares,
    start,
    teacher_norm,
)
from solvers.systems.glm_bayes.model import Model

_FEW = 2.0
"""Fewer informative samples than this are no average (see `gamp`)."""

_ROUNDING = 2.0
"""Root-mean-square change of an estimate, in units of eps·√rho, that is rounding."""

_PATIENCE = 10
"""Iterations of such changes after which products of rounded factors are given up."""


@system.simulation(
    version=4,
    gives=(
        "overlap",
        "self_overlap",
        "mse",
        "classification_error",
        "label_mse",
        "free_entropy",
        "overlap_trajectory",
        "mse_trajectory",
        "error_trajectory",
        "samples",
    ),
    size="dimension",
    shares=("dimension", "seed", "iterations"),
    varies=("initialization",),
    devices=("cpu", "gpu"),
    axes={
        "tolerance": Real(
            "change of the estimate, in posterior standard deviations, that counts as none",
            low=0,
            open="low",
            default=1e-5,
            symbol="\\epsilon",
        ),
        "max_steps": Integer("most iterations", low=1, default=300, symbol=r"t_{\max}"),
    },
    cost=COST,
)
def gamp(
    *,
    alpha,
    prior,
    channel,
    sparsity,
    kappa,
    noise,
    design,
    initialization,
    dimension,
    seed,
    iterations,
    damping,
    tolerance,
    max_steps,
    precision,
    xp,
):
    """Posterior means by message passing with scalar variances (Rangan 2011, arXiv:1010.5141).

    With d = dimension and V the mean posterior variance of the weights, one iteration is

        ω = X·ŵ - V g,   g = ∂_ω log Z(y; ω, V),   A = -Σ ∂_ω g / d,   B = A ŵ + X^T g,
        ŵ, v = mean and variance of P(w) exp(B w - A w^2/2),   V = Σ v / d,

    and A, B keep a share `damping` of their previous values. A estimates alpha E g^2 >= 0: where
    the sum over samples is negative, which only channels that are not log-concave in z allow (abs,
    door, noisy relu), the weights see A = 0. All points of a batch, of either start, advance in
    lockstep on one instance, and iteration t has the overlap of state evolution at t up to O(1/√d).

    **Starts.** Informed: A = s, B = s w + √s Z with s = 100. Uninformed: A = B = 0, except where
    that is a fixed point, for even channels (abs, door: P(y | z) = P(y | -z)). There the symmetry
    is broken by the weakest observation that d weights can feel, A = s, B = √s Z, Z independent of
    the teacher, s = 1/(rho d). Then ŵ = rho B has |ŵ|²/d = rho/d, and its overlap with the teacher
    is by chance of the same size, ŵ·w/d = ±rho/d, as the identity |ŵ|²/d = ŵ·w/d of a posterior
    mean asks: the cosine starts at 1/√d, and as long as everything is small both numbers grow by
    alpha/alpha_weak an iteration. A stronger start would fill the estimate with noise before the
    teacher is seen, a weaker one lose iterations. About log d / log(alpha/alpha_weak) of them pass
    before the overlap is of order 1, at a time that differs between instances; not far above
    alpha_weak small instances never see the teacher (gaussian, abs without noise, alpha = 0.7: most
    at d = 1000, some at d = 4000). On this way V is no longer tied to the overlap. For abs without
    noise a relative error ε of V returns as -ε alpha (E w^4/rho² - 1)/2, against the 2 alpha of the
    signal: with sparse weights it outgrows the signal, and undamped messages run away at large
    alpha (sparsity 0.3, alpha = 2: all at d = 500; Gaussian, alpha = 12: two of six at d = 600;
    with damping 0.3 all of these recover).

    **Sign.** With an even channel no label tells w from -w (all priors are symmetric): `overlap`,
    `mse` and their trajectories are then those of the better of ±ŵ, so that overlap >= 0 and
    mse = |w|²/d + `self_overlap` - 2 `overlap` in every case.

    **Measured** on the estimate: `overlap` ŵ·w/d, `self_overlap` |ŵ|²/d (equal on average,
    Nishimori), `mse` |ŵ - w|²/d; the errors on a fresh sample integrate over it exactly, given the
    estimate (`channels`). `free_entropy` is the Bethe free entropy of the messages (Krzakala,
    Manoel, Tramel, Zdeborová, ISIT 2014, arXiv:1402.1384, with scalar variances)

        d·φ = Σ_i [log Z_w(A, B_i) - B_i ŵ_i + A(ŵ_i² + v_i)/2]
            + Σ_μ [log Z(y_μ; ω_μ, V) + (ω_μ - (X·ŵ)_μ)²/(2V)],

    whose average at the fixed point is the replica-symmetric one. It is NaN where the labels
    contradict messages that are certain of a wrong answer (more than 100 nats per label), which
    happens at small dimension, and +inf, its limit as V -> 0, where real labels without noise
    determine the weights.

    **Precision.** `single` and `double` are numbers of the design, the products and the messages.
    With `half` and `tf32` the design of variance 1 is rounded to the format, once, and is then the
    instance: its labels are those of accurate products. In the iteration both factors of both
    products are rounded, sums and all else are in single precision (`lockstep/held.py`). So the
    answers differ from those of `single` by another design, at random by 2e-4 of its entries, and
    by rounded messages; docs/theory/precision.md has both beside the sampling error, and says where
    these formats must not be used.

    **End.** CONVERGED when `residual` is at most `tolerance`. It is the root-mean-square change of
    ŵ, over 1 - `damping`, in posterior standard deviations √V; what rounding moves, 2 eps √rho,
    does not count, except in half and tf32, where it is not small (eps = 2^-10): a point that moves
    by less for 10 iterations and does not meet its `tolerance` ends as UNDECIDED, with a message
    that names one to be had, 2e-3 √(rho/V). Without noise recovery may be exact and V fall for
    ever: there `residual` is, if that is less, the larger of the change and √V, over √rho. So an
    estimate that is exact ends with mse of the order of rho `tolerance`², not below rounding, and a
    poor one is not taken for it.
    Where V is nearly zero no sign label is in doubt, A is no longer an average over samples and an
    unguarded iteration forgets everything: a point is frozen, as CONVERGED with residual √(V/rho),
    once the |∂g| have a participation number (Σ)²/Σ² below 2. MAX_STEPS otherwise, which without
    damping is the fate of a share of instances that shrinks with the dimension; DIVERGED if |ŵ|²/d
    exceeds 100 rho; NOT_FINITE.
    """
    dtype = xp.float64 if precision == "double" else xp.float32
    model = Model.of(prior=prior, channel=channel, sparsity=sparsity, kappa=kappa, noise=noise)
    instance = Instance.draw(
        model=model, alpha=alpha, dimension=dimension, seed=seed, design=design, xp=xp, dtype=dtype,
        held=Held.of(precision),
    )  # fmt: skip
    with np.errstate(all="ignore"):  # messages that run away overflow; their status says so
        return _iterate(
            model, instance, initialization, seed, iterations, damping, tolerance, max_steps, xp,
            dtype,
        )  # fmt: skip


def _iterate(
    model, instance, initialization, seed, iterations, damping, tolerance, max_steps, xp, dtype
):
    points, dimension = len(instance.samples), instance.dimension
    rho = model.second_moment(points)
    state = start(
        model=model, instance=instance, initialization=initialization, seed=seed, xp=xp, dtype=dtype
    )
    record = Record(points, iterations)
    active = np.arange(points)
    _note(record, 0, model, instance, state, active, xp)
    status = np.full(points, Status.MAX_STEPS)
    steps, residual = np.zeros(points, dtype=int), np.full(points, np.inf)
    still = np.zeros(points, dtype=int)

    while len(active):
        steps[active] += 1
        precision_new, field_new, informative = _pass(model, instance, state, active, xp, dtype)
        enough = informative >= np.minimum(_FEW, 0.5 * instance.samples[active])
        finite = np.isfinite(precision_new)
        frozen = active[finite & ~enough]
        status[frozen] = Status.CONVERGED
        residual[frozen] = np.sqrt(state.variance[frozen] / rho[frozen])
        status[active[~finite]] = Status.NOT_FINITE

        go = np.flatnonzero(finite & enough)
        active = active[go]
        if not len(active):
            break
        keep = damping[active]
        columns = xp.asarray(active)
        state.precision[active] = (1 - keep) * precision_new[go] + keep * state.precision[active]
        share = xp.asarray(keep, dtype=dtype)
        field = (1 - share) * field_new[:, xp.asarray(go)] + share * state.field[:, columns]
        part = model.take(active)
        mean, variance = part.prior.denoise(
            precision=xp.asarray(state.precision[active], dtype=dtype),
            field=field,
            xp=xp,
            **on_device(part.prior_parameters, xp=xp, dtype=dtype),
        )
        moved = mean - state.mean[:, columns]
        terms = squares(moved, xp), squares(mean, xp), variance
        change, norm, state.variance[active] = all_column_sums(terms, xp) / dimension
        change = np.sqrt(change) / (1 - keep)
        state.field[:, columns], state.mean[:, columns] = field, mean
        if steps[active[0]] <= iterations:
            _note(record, int(steps[active[0]]), model, instance, state, active, xp)

        residual[active] = _distance(
            change, state.variance[active], rho[active], model.take(active), instance
        )
        small = change <= _ROUNDING * instance.eps * np.sqrt(rho[active])
        still[active] = np.where(small & (not instance.held.plain), still[active] + 1, 0)
        lost = still[active] >= _PATIENCE
        wild = norm > 100.0 * rho[active]
        broken = ~np.isfinite(residual[active])
        done = residual[active] <= tolerance[active]
        status[active[lost]] = Status.UNDECIDED
        status[active[done]] = Status.CONVERGED
        status[active[wild]] = Status.DIVERGED
        status[active[broken]] = Status.NOT_FINITE
        active = active[~lost & ~done & ~wild & ~broken & (steps[active] < max_steps[active])]

    measured = measure(model=model, instance=instance, state=state, xp=xp, dtype=dtype)
    if model.channel.LABELS == "real":
        recovered = _noiseless(model) & (status == Status.CONVERGED)
        recovered &= np.sqrt(state.variance / rho) <= tolerance
        measured["free_entropy"] = np.where(recovered, np.inf, measured["free_entropy"])
    if not instance.held.plain:
        measured["message"] = _advice(status, np.sqrt(state.variance / rho), instance.eps)
    return {
        **measured,
        "overlap_trajectory": record.values["overlap"],
        "mse_trajectory": record.values["mse"],
        "error_trajectory": record.errors(model, teacher_norm(instance, xp), steps),
        "samples": instance.samples,
        "status": status,
        "steps": steps,
        "residual": residual,
    }


def _advice(status, deviation, eps):
    """What to do about factors too coarse for a tolerance; `deviation` √(V/rho)."""
    reach = _ROUNDING * eps / np.maximum(deviation, eps)
    return [
        f"rounding of the factors moves the estimate; take tolerance {tolerance:.1g}, or single"
        if code == Status.UNDECIDED
        else ""
        for code, tolerance in zip(status, reach, strict=True)
    ]


def _distance(change, variance, rho, model, instance):
    """How far from the end a step of this root-mean-square size is; `residual` of `gamp`."""
    eps = instance.eps
    forgiven = _ROUNDING * eps * np.sqrt(rho) if instance.held.plain else 0.0
    moved = np.maximum(change - forgiven, 0.0)
    relative = moved / np.sqrt(np.maximum(variance, eps**2 * rho))
    absolute = np.maximum(change, np.sqrt(variance)) / np.sqrt(rho)
    return np.where(_noiseless(model), np.minimum(relative, absolute), relative)


def _noiseless(model):
    """Points whose labels are a function of the preactivation: recovery may be exact."""
    return model.channel_parameters["noise"] == 0


def _note(record, step, model, instance, state, active, xp):
    """Record the estimates of the active points."""
    mean = state.mean[:, xp.asarray(active)]
    measured = compare(model=model, instance=instance, mean=mean, points=active, xp=xp)
    record.write(active, step, {**measured, "variance": state.variance[active]})


def _pass(model, instance, state, active, xp, dtype):
    """One reading of the design: new A, B and the number of informative samples of `active`."""
    from solvers.numerics import one_pass  # its channels are compiled: heavy

    mean = state.mean[:, xp.asarray(active)]
    if instance.held.plain and one_pass.applies(model.channel, mean, xp):
        gathered, moments = one_pass.read(
            *(model.channel, instance.design, instance.labels, state.output),
            points=active,
            samples=instance.samples[active],
            mean=mean,
            variance=np.maximum(state.variance, state.smallest)[active],
            **model.take(active).channel_parameters,
        )
    else:
        gathered, moments = _read(model, instance, state, active, mean, xp, dtype)
    first, size, second = moments
    informative = np.divide(size**2, second, out=np.zeros(len(active)), where=second > 0)
    onsager = first / instance.dimension
    field = xp.asarray(onsager, dtype=dtype) * mean + gathered
    return np.maximum(onsager, 0.0), field, informative


def _read(model, instance, state, active, mean, xp, dtype):
    """X^T g and the sums of -∂g, |∂g| and (∂g)² of `active`; `one_pass` in arrays."""
    moments = Tally(3, len(instance.samples), xp)

    def respond(rows, group, product):
        given = state.channel_arguments(model, group, xp=xp, dtype=dtype)
        columns = xp.asarray(group)
        g, curvature = model.channel.denoise(
            label=instance.labels[rows, columns],
            omega=product - given["variance"] * state.output[rows, columns],
            xp=xp,
            **given,
        )
        g = instance.only_asked(rows, group, g, xp=xp)
        state.output[rows, columns] = g
        curvature = xp.astype(instance.only_asked(rows, group, curvature, xp=xp), xp.float64)
        moments.add(group, (curvature, xp.abs(curvature), curvature * curvature))
        return g

    return instance.read(active, mean, respond, xp=xp), moments.total()[:, active]
