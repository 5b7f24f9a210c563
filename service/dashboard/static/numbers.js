// Numbers as people read them: the twin of service/contract/numbers.py, which says what the rules are.

const DECIMALS = 5;
const [LEAST, MOST] = [5, 7]; // significant digits of a score that its decimals show
const [SMALLEST, GREATEST] = [-4, 6]; // exponents of ten between which a number is written without one
const NONE = "–";
const isNone = (value) => value === null || value === undefined;

export function number(value, digits = 4) {
  if (isNone(value)) return NONE;
  if (!Number.isFinite(value)) return "not finite";
  const [mantissa, exponent] = rounded(value, digits);
  if (exponent < SMALLEST || exponent > GREATEST) return `${trimmed(mantissa)}e${exponent}`;
  return trimmed(fixed(value, Math.max(0, digits - 1 - exponent)));
}

export function score(value) {
  if (isNone(value)) return NONE;
  const decimals = decimalsOf(value);
  return decimals === null ? number(value, LEAST) : fixed(value, decimals);
}

export function spread(value, of) {
  if (isNone(value)) return NONE;
  const decimals = isNone(of) ? null : decimalsOf(of);
  if (decimals === null || value === 0 || rounded(value, LEAST)[1] > GREATEST) return number(value, 2);
  const shown = fixed(value, decimals);
  return /[1-9]/.test(shown) ? shown : number(value, 2);
}

function decimalsOf(value) {
  if (value === 0 || !Number.isFinite(value)) return null;
  const [, exponent] = rounded(value, LEAST);
  if (exponent < SMALLEST || exponent > GREATEST) return null;
  return Math.min(Math.max(DECIMALS, LEAST - 1 - exponent), Math.max(0, MOST - 1 - exponent));
}

function rounded(value, digits) {
  const [mantissa, exponent] = (value === 0 ? 0 : value).toExponential(digits - 1).split("e");
  return [mantissa, Number(exponent)];
}

const trimmed = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

function fixed(value, decimals) {
  const text = value.toFixed(decimals);
  return /[1-9]/.test(text) ? text : text.replace("-", "");
}
