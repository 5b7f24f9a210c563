"""The normal distribution over any operations, in float64: graphs have neither its distribution nor its inverse."""

from __future__ import annotations

from collections.abc import Sequence

from foldstep.portable.ops import Ops, Value

# West (2005), "Better approximations to cumulative normal functions": Hart's algorithm 5666, the highest power first
_CDF_ABOVE = (
    3.52624965998911e-2, 0.700383064443688, 6.37396220353165, 33.912866078383, 112.079291497871, 221.213596169931,
    220.206867912376,
)  # fmt: skip
_CDF_BELOW = (
    8.83883476483184e-2, 1.75566716318264, 16.064177579207, 86.7807322029461, 296.564248779674, 637.333633378831,
    793.826512519948, 440.413735824752,
)  # fmt: skip
_FAR = 7.0  # where Hart's polynomials end; beyond it the share is below 1.3e-12

# Wichura (1988), "Algorithm AS 241", PPND16, the highest power first: the middle, and the tails to a share of 1.4e-11
_MIDDLE_ABOVE = (
    2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
    1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0,
)  # fmt: skip
_MIDDLE_BELOW = (
    5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
    5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0,
)  # fmt: skip
_TAIL_ABOVE = (
    7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
    3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0,
)  # fmt: skip
_TAIL_BELOW = (
    1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
    6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0,
)  # fmt: skip


def normal_cdf(ops: Ops, x: Value) -> Value:
    """Compute the share of the standard normal distribution below x, within 2e-12; NaN stays."""
    size = ops.minimum(ops.abs(x), _FAR)
    tail = ops.exp(size * size * -0.5) * _polynomial(size, _CDF_ABOVE) / _polynomial(size, _CDF_BELOW)
    return ops.where(x > 0.0, tail * -1.0 + 1.0, tail)


def normal_quantile(ops: Ops, share: Value) -> Value:
    """Compute the inverse of `normal_cdf` for shares from 1e-10 to 1 - 1e-10, within 1e-14."""
    distance = share - 0.5
    r = distance * distance * -1.0 + 0.180625
    middle = distance * _polynomial(r, _MIDDLE_ABOVE) / _polynomial(r, _MIDDLE_BELOW)
    tail_share = ops.minimum(share, share * -1.0 + 1.0)
    s = ops.sqrt(ops.log(tail_share) * -1.0) - 1.6
    tail = _polynomial(s, _TAIL_ABOVE) / _polynomial(s, _TAIL_BELOW)
    signed = ops.where(distance < 0.0, tail * -1.0, tail)
    return ops.where(ops.abs(distance) <= 0.425, middle, signed)


def _polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    """Evaluate a polynomial by Horner's rule, the highest power first."""
    value = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value
